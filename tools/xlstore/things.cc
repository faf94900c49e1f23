// SPDX-License-Identifier: MIT
// insert, eject, attach, detach, batch, wait.
#include <cstdio>

#include "store/text/number_text.hpp"
#include "tools/common/finding_journal.hpp"
#include "tools/common/json_value.hpp"
#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

namespace {

uint32_t tray_flags(const Arguments& arguments)
{
    return (arguments.force ? XLSTORE_FORCE : 0U) | (arguments.wait ? XLSTORE_WAIT_FOR_GUEST : 0U);
}

}  // namespace

Result<Status> run_insert(const Arguments& arguments)
{
    const auto& words = arguments.words;
    return run_operation(arguments, [&](auto* store, auto call, auto** out) {
        call.flags = tray_flags(arguments);
        return xlstore_insert(store, words[0].c_str(), words[1].c_str(), words[2].c_str(), &call,
                              out);
    });
}

Result<Status> run_eject(const Arguments& arguments)
{
    const auto& words = arguments.words;
    return run_operation(arguments, [&](auto* store, auto call, auto** out) {
        call.flags = tray_flags(arguments);
        return xlstore_eject(store, words[0].c_str(), words[1].c_str(), &call, out);
    });
}

Result<Status> run_attach(const Arguments& arguments)
{
    const auto& words = arguments.words;
    const auto json = read_text(words[2]);
    if (!json) return json.error();
    return run_operation(arguments, [&](auto* store, const auto& call, auto** out) {
        return xlstore_attach(store, words[0].c_str(), words[1].c_str(), json->c_str(), &call, out);
    });
}

Result<Status> run_detach(const Arguments& arguments)
{
    const auto& words = arguments.words;
    return run_operation(arguments, [&](auto* store, const auto& call, auto** out) {
        return xlstore_detach(store, words[0].c_str(), words[1].c_str(), words[2].c_str(), &call,
                              out);
    });
}

namespace {

// An outcome of a batch, for people.
std::string line_of(const Json& outcome)
{
    std::string line = std::to_string(outcome["request"].get<int>()) + " " +
                       outcome["operation"].get<std::string>() + " " +
                       outcome["thing"].get<std::string>() + ": " +
                       outcome["outcome"].get<std::string>();
    if (const auto error = outcome.find("error"); error != outcome.end()) {
        line += ": " + error->at("message").get<std::string>();
        if (error->contains("intent"))
            line += " (intent " + std::to_string(error->at("intent").get<std::int64_t>()) + ")";
    }
    return plain(line);
}

// A doubt of one of them is told as one of a command of its own is.
void journal_request(const Arguments& arguments, const Json& outcome)
{
    Error error(Errc::in_doubt, outcome["thing"].get<std::string>(), "");
    if (const auto told = outcome.find("error"); told != outcome.end()) {
        error.message = told->at("message").get<std::string>();
        if (told->contains("intent")) error.intent = told->at("intent").get<std::int64_t>();
    }
    journal_doubt("xlstore", arguments.store, "batch", error);
}

}  // namespace

Result<Status> run_batch(const Arguments& arguments)
{
    const auto requests = read_text(arguments.words[1]);
    if (!requests) return requests.error();
    const auto result = perform(arguments, [&](auto* store, const auto& call, auto** out) {
        return xlstore_batch(store, arguments.words[0].c_str(), requests->c_str(),
                             arguments.all_or_none ? XLSTORE_ALL_OR_NONE : 0, &call, out);
    });
    if (!result) return result.error();
    const auto ended = json_value(xlstore_result_json(result->get()));
    if (!ended.contains("outcomes")) return tell(arguments, result->get());
    for (const auto& outcome : ended["outcomes"])
        if (outcome["outcome"] == "in doubt") journal_request(arguments, outcome);
    if (arguments.json)
        print_json(xlstore_result_json(result->get()));
    else
        for (const auto& outcome : ended["outcomes"])
            std::puts(line_of(outcome).c_str());
    if (ended["result"] == "done") return Status::done;
    return ended["result"] == "in doubt" ? Status::in_doubt : Status::refused;
}

Result<Status> run_wait(const Arguments& arguments)
{
    // misuse_of() has seen that it is one.
    const auto number = parse_number<std::int64_t>(arguments.words[0]).value_or(0);
    return run_operation(arguments, [&](auto* store, const auto& call, auto** out) {
        return xlstore_wait(store, number, &call, out);
    });
}

}  // namespace xlstore::tools
