// SPDX-License-Identifier: MIT
// insert, eject, attach, detach, batch, wait.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "store/json_text.hpp"
#include "store/limits.hpp"
#include "store/operation.hpp"
#include "store/wait.hpp"
#include "tools/xlstore/verbs.hpp"

namespace xlstore::tools {

namespace {

struct Opened {
    std::unique_ptr<Store> store;
    DomainRow domain;
};

Result<Opened> open_domain(const Arguments& arguments)
{
    auto store = open_store(arguments);
    if (!store) return store.error();
    auto domain = find_domain((*store)->db(), arguments.words[0]);
    if (!domain) return domain.error();
    return Opened{*std::move(store), *std::move(domain)};
}

Result<Status> finish(const Arguments& arguments, Opened& opened, Task<Result<Done>> task,
                      const std::string& what)
{
    auto done = opened.store->loop().wait_for(std::move(task));
    if (!done) return done.error();
    print_done(arguments, opened.domain.subject() + ": " + what,
               {{"intent", std::to_string(value_of(done->intents.front()))},
                {"evidence", json_quote(done->evidence)}});
    return Status::done;
}

}  // namespace

Result<Status> run_insert(const Arguments& arguments)
{
    auto opened = open_domain(arguments);
    if (!opened) return opened.error();
    // Not resolved further: the document names the image as the caller does.
    const auto file = std::filesystem::absolute(arguments.words[2]).string();
    return finish(arguments, *opened,
                  insert_medium(*opened->store, opened->domain, arguments.words[1], file,
                                arguments.until(limits::operation_timeout)),
                  file + " is in " + arguments.words[1]);
}

Result<Status> run_eject(const Arguments& arguments)
{
    auto opened = open_domain(arguments);
    if (!opened) return opened.error();
    return finish(arguments, *opened,
                  eject_medium(*opened->store, opened->domain, arguments.words[1],
                               arguments.until(limits::operation_timeout)),
                  arguments.words[1] + " is empty");
}

Result<Status> run_attach(const Arguments& arguments)
{
    std::string what;
    auto json = read_text(arguments.words[2], what);
    if (!json) return json.error();
    auto opened = open_domain(arguments);
    if (!opened) return opened.error();
    return finish(arguments, *opened,
                  attach(*opened->store, opened->domain, arguments.words[1], *json,
                         arguments.until(limits::operation_timeout)),
                  "attached");
}

Result<Status> run_detach(const Arguments& arguments)
{
    auto opened = open_domain(arguments);
    if (!opened) return opened.error();
    const ThingName thing{arguments.words[1], arguments.words[2]};
    return finish(
        arguments, *opened,
        detach(*opened->store, opened->domain, thing, arguments.until(limits::operation_timeout)),
        thing.text() + " detached");
}

namespace {

constexpr std::array kOutcomeNames = {"done", "not done", "in doubt"};
enum class Told { done, not_done, in_doubt };

Told told(const Outcome& outcome)
{
    if (outcome.done) return Told::done;
    return outcome.done.error().code == Errc::in_doubt ? Told::in_doubt : Told::not_done;
}

std::string name_of(Told outcome)
{
    return kOutcomeNames[static_cast<std::size_t>(outcome)];
}

// One outcome as an object, and as a line for people.
std::string outcome_json(std::size_t number, const Request& request, const Outcome& outcome)
{
    std::vector<std::pair<std::string, std::string>> members = {
        {"request", std::to_string(number)},
        {"operation", json_quote(kind_name(request.kind))},
        {"thing", json_quote(outcome.thing)},
        {"outcome", json_quote(name_of(told(outcome)))}};
    if (outcome.done) {
        members.emplace_back("intent", std::to_string(value_of(outcome.done->intents.front())));
        members.emplace_back("evidence", json_quote(outcome.done->evidence));
    } else {
        members.emplace_back("error", error_json(outcome.done.error()));
    }
    return json_object(members);
}

std::string outcome_line(std::size_t number, const Request& request, const Outcome& outcome)
{
    std::string line = std::to_string(number) + " " + std::string(kind_name(request.kind)) + " " +
                       outcome.thing + ": " + name_of(told(outcome));
    if (!outcome.done) {
        const Error& error = outcome.done.error();
        line += ": " + error.message;
        if (error.intent) line += " (intent " + std::to_string(*error.intent) + ")";
    }
    return plain(line);
}

}  // namespace

Result<Status> run_batch(const Arguments& arguments)
{
    std::string what;
    auto json = read_text(arguments.words[1], what);
    if (!json) return json.error();
    auto requests = requests_from_json(*json);
    if (!requests) return requests.error();
    for (auto& request : *requests)
        if (request.kind == Request::Kind::insert)
            request.text = std::filesystem::absolute(request.text).string();
    auto opened = open_domain(arguments);
    if (!opened) return opened.error();
    const auto mode = arguments.all_or_none ? BatchMode::all_or_none : BatchMode::each;
    const auto outcomes =
        opened->store->loop().wait_for(batch(*opened->store, opened->domain, *requests, mode,
                                             arguments.until(limits::operation_timeout)));
    if (!outcomes) return outcomes.error();

    Told worst = Told::done;
    std::string list;
    for (std::size_t i = 0; i < outcomes->size(); ++i) {
        const Outcome& outcome = (*outcomes)[i];
        worst = std::max(worst, told(outcome));
        if (arguments.json)
            list += (i > 0 ? "," : "") + outcome_json(i + 1, (*requests)[i], outcome);
        else
            std::puts(outcome_line(i + 1, (*requests)[i], outcome).c_str());
    }
    if (arguments.json)
        std::puts(
            json_object({{"result", json_quote(name_of(worst))}, {"outcomes", "[" + list + "]"}})
                .c_str());
    constexpr std::array statuses = {Status::done, Status::refused, Status::in_doubt};
    return statuses[static_cast<std::size_t>(worst)];
}

Result<Status> run_wait(const Arguments& arguments)
{
    std::int64_t number = 0;
    const auto& word = arguments.words[0];
    const auto [at, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error != std::errc() || at != word.data() + word.size())
        return Error(Errc::invalid, json_shown(word) + " is not the number of an intent");
    auto store = open_store(arguments);
    if (!store) return store.error();
    auto done = (*store)->loop().wait_for(
        wait_for_intent(**store, IntentId(number), arguments.until(limits::wait_timeout)));
    if (!done) return done.error();
    print_done(arguments, "intent " + word + ": done: " + done->evidence,
               {{"intent", word},
                {"outcome", json_quote("done")},
                {"evidence", json_quote(done->evidence)}});
    return Status::done;
}

}  // namespace xlstore::tools
