// SPDX-License-Identifier: MIT
// init, upgrade, create, soft-reset, import, register, rename, preserve, close, reopen, destroy,
// recover.
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "schema/steps.hpp"
#include "store/text/json_text.hpp"
#include "store/text/number_text.hpp"
#include "tools/common/finding_journal.hpp"
#include "tools/common/finding_line.hpp"
#include "tools/common/json_value.hpp"
#include "tools/xlstore/builder.hpp"
#include "tools/xlstore/library.hpp"
#include "tools/xlstore/scope.hpp"
#include "xlstore/recovery.h"

namespace xlstore::tools {

namespace {

// misuse_of() has seen that it is one.
int32_t domid_of(const std::string& word)
{
    const std::string_view digits =
        std::string_view(word).substr(word.starts_with("domid:") ? 6 : 0);
    return parse_number<int32_t>(digits).value_or(-1);
}

std::vector<const char*> pointers_to(const std::vector<std::string>& words)
{
    std::vector<const char*> pointers;
    for (const auto& word : words)
        pointers.push_back(word.c_str());
    pointers.push_back(nullptr);
    return pointers;
}

// What goes with a document from elsewhere; nothing: none was named.
Result<std::string> things_of(const Arguments& arguments)
{
    return arguments.things.empty() ? std::string() : read_file(arguments.things);
}

// What an operation with notes ends with: besides its line, what QEMU cannot be given or asked.
Result<Status> run_with_notes(const Arguments& arguments, const Operation& operation)
{
    const auto result = perform(arguments, operation);
    if (!result) return result.error();
    auto told = tell(arguments, result->get());
    if (!told || arguments.json) return told;
    const auto created = json_value(xlstore_result_json(result->get()));
    print_notes(json_text(created["notes"]).c_str());
    return told;
}

}  // namespace

Result<Status> run_init(const Arguments& arguments)
{
    xlstore_init_options options = XLSTORE_INIT_OPTIONS_INIT;
    options.has_reading_group = arguments.group ? 1 : 0;
    options.reading_group = arguments.group.value_or(0);
    options.power = arguments.power ? 1 : 0;
    if (xlstore_init(arguments.store.c_str(), &options) != XLSTORE_OK) return last_error();
    if (arguments.json)
        print_json(
            json_object({{"result", json_quote("done")}, {"store", json_quote(arguments.store)}}));
    else
        std::puts(plain("store made in " + arguments.store).c_str());
    return Status::done;
}

Result<Status> run_upgrade(const Arguments& arguments)
{
    // Opened for writing, it is upgraded. R18: with the upgrade committed it is done, also where no
    // room is left for this process's own session; only a store of this schema can be looked at.
    const auto store = open_store(arguments);
    if (!store && !open_to_look(arguments)) return store.error();
    const auto version = std::to_string(schema::newest_version());
    if (arguments.json)
        print_json(json_object({{"schema_version", version}}));
    else
        std::puts(plain("store " + arguments.store + " has schema version " + version).c_str());
    return Status::done;
}

Result<Status> run_create(const Arguments& arguments)
{
    const auto domid = domid_of(arguments.words[0]);
    if (arguments.scope) return continue_in_scope(std::to_string(domid));
    const auto document = read_file(arguments.words[1]);
    if (!document) return document.error();
    const auto things = things_of(arguments);
    if (!things) return things.error();
    if (arguments.no_qemu) return create_without_qemu(arguments, domid, *document, *things);
    const auto command = pointers_to(arguments.command);
    return run_with_notes(arguments, [&](auto* store, xlstore_call call, auto** out) {
        call.document_name = arguments.words[1].c_str();
        if (!things->empty()) call.things = things->c_str();
        return xlstore_create(store, domid, document->c_str(), command.data(), &call, out);
    });
}

Result<Status> run_soft_reset(const Arguments& arguments)
{
    const auto command = pointers_to(arguments.command);
    return run_with_notes(arguments, [&](auto* store, const auto& call, auto** out) {
        return xlstore_soft_reset(store, arguments.words[0].c_str(), command.data(), &call, out);
    });
}

Result<Status> run_import(const Arguments& arguments)
{
    const auto domid = domid_of(arguments.words[0]);
    const auto document = read_file(arguments.words[1]);
    if (!document) return document.error();
    const auto things = things_of(arguments);
    if (!things) return things.error();
    return run_operation(arguments, [&](auto* store, xlstore_call call, auto** out) {
        call.document_name = arguments.words[1].c_str();
        if (!things->empty()) call.things = things->c_str();
        if (arguments.force) call.flags = XLSTORE_FORCE;
        return xlstore_import(store, domid, document->c_str(), &call, out);
    });
}

Result<Status> run_register(const Arguments& arguments)
{
    return run_with_notes(arguments, [&](auto* store, const auto& call, auto** out) {
        return xlstore_register(store, arguments.words[0].c_str(), arguments.monitor.c_str(),
                                arguments.pid.value_or(0),
                                arguments.handed_in ? XLSTORE_HANDED_IN : 0, &call, out);
    });
}

Result<Status> run_rename(const Arguments& arguments)
{
    const auto& words = arguments.words;
    return run_operation(arguments, [&](auto* store, const auto& call, auto** out) {
        return xlstore_rename(store, words[0].c_str(), words[1].c_str(), arguments.revision, &call,
                              out);
    });
}

Result<Status> run_preserve(const Arguments& arguments)
{
    const auto& words = arguments.words;
    return run_operation(arguments, [&](auto* store, const auto& call, auto** out) {
        return xlstore_preserve(store, words[0].c_str(), words[1].c_str(),
                                arguments.uuid.empty() ? nullptr : arguments.uuid.c_str(), &call,
                                out);
    });
}

Result<Status> run_close(const Arguments& arguments)
{
    return run_with_notes(arguments, [&](auto* store, const auto& call, auto** out) {
        return xlstore_close_document(store, arguments.words[0].c_str(), arguments.reason.c_str(),
                                      &call, out);
    });
}

Result<Status> run_reopen(const Arguments& arguments)
{
    return run_operation(arguments, [&](auto* store, const auto& call, auto** out) {
        return xlstore_reopen_document(store, arguments.words[0].c_str(), &call, out);
    });
}
namespace {

// R18: where the store cannot be opened for writing (a full disk), a destruction that an earlier
// command began is not "not done" for that.
Error if_begun(const Arguments& arguments, const std::string& domain, Error error)
{
    const auto store = open_to_look(arguments);
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    if (!store || xlstore_find(store->get(), domain.c_str(), &info) != XLSTORE_OK ||
        std::string_view(info.state) != "destroying")
        return error;
    const std::string first = error.advice.empty() ? "" : error.advice + "; ";
    return Error(Errc::unfinished,
                 "domain " + std::to_string(info.domid) + " (" + info.name +
                     "): its destruction has begun and is not at its end: " + error.message,
                 first + "'xlstore destroy id:" + std::to_string(info.id) +
                     "' or 'xlfsck -p' goes on where it stopped");
}

// R18: a command that is repeated, for instance because the first was killed when it had done its
// work, finds what it asked for done. Of a domain that the store never had, the error stands.
Result<Status> if_over(const Arguments& arguments, const std::string& domain, Error error)
{
    const auto store = open_to_look(arguments);
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    if (!store ||
        xlstore_find_incarnation(store->get(), domain.c_str(), &info, nullptr) != XLSTORE_OK ||
        std::string_view(info.state) != "destroyed")
        return error;
    const std::string id = std::to_string(info.id);
    const std::string text =
        arguments.json
            ? "{\"id\":" + id + ",\"domid\":" + std::to_string(info.domid) +
                  ",\"name\":" + json_quote(info.name) + ",\"destroyed_before\":true}"
            : plain("domain " + std::to_string(info.domid) + " (" + info.name +
                    ") is destroyed already: 'xlstore history id:" + id + "'");
    std::puts(text.c_str());
    return Status::done;
}

}  // namespace

namespace {

// A person at a terminal is asked once; a script is not. An error: the answer was no.
Result<void> ask_once(const Arguments& arguments)
{
    if (arguments.sure || arguments.json || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return {};
    const std::string& word = arguments.words[0];
    std::string what = word;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    const auto store = open_to_look(arguments);
    const bool found = store && xlstore_find(store->get(), word.c_str(), &info) == XLSTORE_OK;
    // Of what is not there, or is over, no guest ends.
    if (store && !found && arguments.uuid.empty() && last_error().code == Errc::not_found)
        return {};
    if (found)
        what = "domain " + std::to_string(info.domid) + " (" + info.name + ")" +
               (info.qemu == XLSTORE_QEMU_ALIVE
                    ? ", whose QEMU " + std::to_string(info.qemu_pid) + " lives"
                    : "");
    std::fprintf(stderr, "destroy %s? Its guest ends at once. [y/N] ", plain(what).c_str());
    const int first = std::getchar();
    for (int c = first; c != '\n' && c != EOF;)
        c = std::getchar();
    if (first == 'y' || first == 'Y') return {};
    return Error(Errc::cancelled, "destroy: the answer was no", "nothing was changed");
}

}  // namespace

Result<Status> run_destroy(const Arguments& arguments)
{
    if (const auto asked = ask_once(arguments); !asked) return asked.error();
    std::string domain = arguments.words[0];
    std::string found;  // the incarnation that it is asked for
    Operation operation = [&](auto* store, const auto& call, auto** out) {
        xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
        if (xlstore_find(store, domain.c_str(), &info) == XLSTORE_OK)
            found = "id:" + std::to_string(info.id);
        return xlstore_destroy_with(store, domain.c_str(),
                                    arguments.assume_dead ? XLSTORE_ASSUME_DEAD : 0, &call, out);
    };
    if (!arguments.uuid.empty()) {
        const auto domid = domid_of(domain);
        domain = "domid:" + std::to_string(domid);
        operation = [&, number = domid](auto* store, const auto& call, auto** out) {
            return xlstore_destroy_domid(store, number, arguments.uuid.c_str(), &call, out);
        };
    }
    const auto result = perform(arguments, operation);
    Result<Status> told =
        result ? tell(arguments, result->get()) : if_begun(arguments, domain, result.error());
    // With a uuid, a domain that is not there yet may come: that destruction waits for it (R14).
    if (told || told.error().code != Errc::not_found || !arguments.uuid.empty()) return told;
    // One that was there and whose import was taken back is not over, and no earlier life is meant.
    return if_over(arguments, found.empty() ? domain : found, std::move(told).error());
}

Result<Status> run_recover(const Arguments& arguments)
{
    struct Told {
        std::string lines;
        std::string store;
    } told{{}, arguments.store};
    const auto found = [](const xlstore_finding* f, void* userdata) {
        auto& to = *static_cast<Told*>(userdata);
        journal_finding("xlstore", to.store, *f);
        if (f->if_left == 0 && f->action == XLSTORE_ACTION_NONE) return;
        to.lines += plain(finding_line(*f)) + "\n";
    };
    const auto result = perform(arguments, [&](auto* store, const auto& call, auto** out) {
        xlstore_recover_options options = XLSTORE_RECOVER_OPTIONS_INIT;
        options.domain = arguments.words.empty() ? nullptr : arguments.words[0].c_str();
        options.timeout_ms = call.timeout_ms;
        options.found = found;
        options.userdata = &told;
        return xlstore_recover(store, &options, out);
    });
    if (!result) return result.error();
    const auto report = json_value(xlstore_result_json(result->get()));
    if (!report.contains("fsck_status")) return tell(arguments, result->get());
    if (arguments.json)
        print_json(xlstore_result_json(result->get()));
    else
        std::fputs(told.lines.c_str(), stdout);
    switch (xlstore_result_status(result->get())) {
    case XLSTORE_OK:
        return Status::done;
    case XLSTORE_E_REFUSED:
        return Status::refused;
    default:
        return Status::in_doubt;
    }
}

}  // namespace xlstore::tools
