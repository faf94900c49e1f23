// SPDX-License-Identifier: MIT
#include "store/operation.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "store/class_plan.hpp"
#include "store/inventory.hpp"
#include "store/json_text.hpp"
#include "store/limits.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kDisks = "disks";
constexpr std::string_view kVcpus = "vcpus";

/// How a request is written as an element of a batch.
struct Spelling {
    std::string_view name;
    Request::Kind kind;
    std::string_view detail;  // the member beside it; empty: none
};
constexpr std::array kSpellings = {
    Spelling{"attach", Request::Kind::attach, "thing"},
    Spelling{"detach", Request::Kind::detach, "key"},
    Spelling{"insert", Request::Kind::insert, "file"},
    Spelling{"eject", Request::Kind::eject, ""},
};

Result<Request> request_from_json(std::string_view element, const std::string& where)
{
    const auto bad = [&](const std::string& what) { return Error(Errc::invalid, where + what); };
    if (json_type(element) != JsonType::object) return bad("it is not an object");
    const auto* spelling =
        std::find_if(kSpellings.begin(), kSpellings.end(),
                     [&](const Spelling& s) { return json_find(element, s.name).has_value(); });
    if (spelling == kSpellings.end())
        return bad("it asks for none of attach, detach, insert and eject");
    for (const auto& member : json_members(element))
        if (member.key != spelling->name && member.key != spelling->detail)
            return bad("unknown member " + json_shown(member.key));
    const auto object = json_get_string(element, spelling->name);
    if (!object) return bad("\"" + std::string(spelling->name) + "\" is not a string");
    Request request{spelling->kind, *object, {}, {}};
    if (spelling->kind == Request::Kind::attach) {
        const auto thing = json_find(element, spelling->detail);
        if (!thing) return bad("\"thing\" is missing");
        request.text = *thing;
        return request;
    }
    if (!spelling->detail.empty()) {
        const auto detail = json_get_string(element, spelling->detail);
        if (!detail)
            return bad("\"" + std::string(spelling->detail) + "\" is missing or not a string");
        (spelling->kind == Request::Kind::insert ? request.text : request.key) = *detail;
    }
    if (spelling->kind != Request::Kind::detach) {  // a drive is named by its vdev alone
        request.device_class = kDisks;
        request.key = *object;
    }
    return request;
}

// A request after all that can be found wrong with it without a lock.
struct Prepared {
    Request request;
    ThingName thing;
    std::optional<Draft> draft;  // nothing: it depends on the entry, or on what QEMU says
};

Result<Prepared> prepare(Request request)
{
    Prepared prepared{std::move(request), {}, {}};
    const Request& r = prepared.request;
    if (r.kind != Request::Kind::attach) {
        prepared.thing = ThingName{r.device_class, r.key};
        return prepared;
    }
    auto thing = name_of_attach(r.device_class, r.text);
    if (!thing) return std::move(thing).error();
    prepared.thing = *std::move(thing);
    if (r.device_class == kVcpus) return prepared;
    auto draft = draft_attach(r.device_class, r.text);
    if (!draft) return std::move(draft).error();
    prepared.draft = *std::move(draft);
    return prepared;
}

// The draft, from the entry and QEMU as they are under the engine's hold.
Task<Result<Draft>> complete(Store& store, Engine& engine, Prepared prepared, Deadline until)
{
    if (prepared.draft) co_return *std::move(prepared.draft);
    const Request& request = prepared.request;
    if (request.kind == Request::Kind::attach) {
        auto slots = co_await ask(engine.monitor(), "query-hotpluggable-cpus", "", until);
        if (!slots) co_return std::move(slots).error();
        if (const auto few = listed(*slots, "query-hotpluggable-cpus"); !few) co_return few.error();
        co_return draft_attach_vcpu(request.text, *slots);
    }
    const auto entry = read_thing(store.db(), engine.domain().id, prepared.thing);
    if (!entry)
        co_return Error(Errc::not_found,
                        engine.domain().subject() + " has no " + prepared.thing.text(),
                        "'xlstore things DOM' shows what it has");
    switch (request.kind) {
    case Request::Kind::insert:
        co_return draft_insert(*entry, request.text);
    case Request::Kind::eject:
        co_return draft_eject(*entry);
    case Request::Kind::attach:
    case Request::Kind::detach:
        break;
    }
    co_return draft_detach(*entry, made_of(store.db(), engine.domain().id, *entry));
}

Task<Result<Done>> perform_under(Store& store, Engine& engine, Prepared prepared, Deadline until)
{
    if (auto connected = co_await engine.stay_connected(until); !connected)
        co_return std::move(connected).error();
    if (prepared.request.kind == Request::Kind::detach) {
        if (const auto id = open_intent_of(store.db(), engine.domain().id, prepared.thing)) {
            auto open = read_intent(store.db(), *id);
            if (!open) co_return std::move(open).error();
            if (open->draft.verb == Verb::remove && open->asked_us)
                co_return co_await engine.ask_again(*std::move(open), until);
        }
    }
    if (auto way = co_await engine.make_way(prepared.thing, until); !way)
        co_return std::move(way).error();
    auto draft = co_await complete(store, engine, std::move(prepared), until);
    if (!draft) co_return std::move(draft).error();
    co_return co_await engine.operate(*std::move(draft), until);
}

// All of them as one; every outcome is the same but for the intent's number.
Task<Result<Done>> perform_all(Store& store, Engine& engine, std::vector<Prepared> all,
                               Deadline until)
{
    std::vector<Draft> drafts;
    for (auto& prepared : all) {
        auto draft = co_await complete(store, engine, std::move(prepared), until);
        if (!draft) co_return std::move(draft).error();
        drafts.push_back(*std::move(draft));
    }
    co_return co_await engine.operate(std::move(drafts), until);
}

Result<Done> share_of(const Result<Done>& whole, std::size_t place,
                      std::optional<IntentId> still_open)
{
    if (whole) return Done{std::vector<IntentId>(1, whole->intents[place]), whole->evidence};
    Error error = whole.error();
    if (error.code == Errc::in_doubt && still_open) error.intent = value_of(*still_open);
    return error;
}

}  // namespace

std::string_view kind_name(Request::Kind kind) noexcept
{
    const auto* spelling = std::find_if(kSpellings.begin(), kSpellings.end(),
                                        [&](const Spelling& s) { return s.kind == kind; });
    return spelling->name;
}

Result<std::vector<Request>> requests_from_json(std::string_view text)
{
    auto minified = json_minify(text, "batch", limits::document_bytes_max);
    if (!minified) return std::move(minified).error();
    if (json_type(*minified) != JsonType::array)
        return Error(Errc::invalid, "batch: it is not an array of requests");
    std::vector<Request> requests;
    for (const auto element : json_elements(*minified)) {
        auto request = request_from_json(
            element, "batch: request " + std::to_string(requests.size() + 1) + ": ");
        if (!request) return std::move(request).error();
        requests.push_back(*std::move(request));
    }
    return requests;
}

Task<Result<std::vector<Outcome>>> batch(Store& store, DomainRow domain,
                                         std::vector<Request> requests, BatchMode mode,
                                         Deadline until)
{
    const bool all_or_none = mode == BatchMode::all_or_none;
    if (requests.empty()) co_return Error(Errc::invalid, "batch: there is no request in it");
    std::vector<Result<Prepared>> prepared;
    std::set<std::string> named;
    for (auto& request : requests) {
        const std::string where = "batch: request " + std::to_string(prepared.size() + 1) + ": ";
        if (all_or_none && request.kind != Request::Kind::attach)
            co_return Error(Errc::invalid,
                            where +
                                "only attaches can be all done or none: what a guest has let go "
                                "of cannot be put back as it was",
                            "nothing was changed; leave --all-or-none away");
        prepared.push_back(prepare(std::move(request)));
        if (!prepared.back()) {
            Error error = prepared.back().error();
            error.message = where + error.message;
            if (all_or_none) co_return error;
            prepared.back() = std::move(error);
        } else if (!named.insert(prepared.back()->thing.text()).second) {
            co_return Error(Errc::invalid,
                            where + prepared.back()->thing.text() + " is named before it, too",
                            "nothing was changed; name each thing once");
        }
    }
    const std::string operation = "batch of " + std::to_string(prepared.size());
    auto engine = co_await Engine::begin(store, std::move(domain), operation, until);
    if (!engine) co_return std::move(engine).error();

    std::vector<Outcome> outcomes;
    if (!all_or_none) {
        for (auto& one : prepared) {
            if (!one) {
                outcomes.push_back(Outcome{"", std::move(one).error()});
                continue;
            }
            std::string thing = one->thing.text();
            auto done = co_await perform_under(store, *engine, *std::move(one), until);
            outcomes.push_back(Outcome{std::move(thing), std::move(done)});
        }
        co_return std::move(outcomes);
    }
    std::vector<ThingName> things;
    std::vector<Prepared> all;
    for (auto& one : prepared) {
        things.push_back(one->thing);
        all.push_back(*std::move(one));
    }
    const auto whole = co_await perform_all(store, *engine, std::move(all), until);
    for (std::size_t i = 0; i < things.size(); ++i) {
        const auto open = open_intent_of(store.db(), engine->domain().id, things[i]);
        outcomes.push_back(Outcome{things[i].text(), share_of(whole, i, open)});
    }
    co_return std::move(outcomes);
}

Task<Result<Done>> perform(Store& store, DomainRow domain, Request request, Deadline until)
{
    auto prepared = prepare(std::move(request));
    if (!prepared) co_return std::move(prepared).error();
    std::string operation =
        std::string(kind_name(prepared->request.kind)) + " " + prepared->thing.text();
    auto engine = co_await Engine::begin(store, std::move(domain), std::move(operation), until);
    if (!engine) co_return std::move(engine).error();
    co_return co_await perform_under(store, *engine, *std::move(prepared), until);
}

Task<Result<Done>> attach(Store& store, DomainRow domain, std::string device_class,
                          std::string json, Deadline until)
{
    Request request{Request::Kind::attach, std::move(device_class), {}, std::move(json)};
    return perform(store, std::move(domain), std::move(request), until);
}

Task<Result<Done>> detach(Store& store, DomainRow domain, ThingName thing, Deadline until)
{
    Request request{Request::Kind::detach, std::move(thing.device_class), std::move(thing.key), {}};
    return perform(store, std::move(domain), std::move(request), until);
}

Task<Result<Done>> insert_medium(Store& store, DomainRow domain, std::string vdev, std::string file,
                                 Deadline until)
{
    Request request{Request::Kind::insert, std::string(kDisks), std::move(vdev), std::move(file)};
    return perform(store, std::move(domain), std::move(request), until);
}

Task<Result<Done>> eject_medium(Store& store, DomainRow domain, std::string vdev, Deadline until)
{
    Request request{Request::Kind::eject, std::string(kDisks), std::move(vdev), {}};
    return perform(store, std::move(domain), std::move(request), until);
}

}  // namespace xlstore
