// SPDX-License-Identifier: MIT
// perform() is one request, batch() several under one hold and connection. Each request is checked
// for all that can be found wrong without a lock (prepare); then, under the hold, completed to a
// draft from the entry and from what QEMU says (complete); then given to Engine::operate. In a
// batch one that fails, or throws, keeps no other from its turn; all-or-none makes one plan of all
// drafts and shares its outcome out.
#include "store/operation/operation.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <optional>
#include <set>

#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/product.hpp"
#include "store/operation/host_usb_port.hpp"
#include "store/operation/in_qemu.hpp"
#include "store/qmp/inventory.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kDisks = "disks";
constexpr std::string_view kVcpus = "vcpus";

/// How a request is written as an element of a batch.
struct Spelling {
    std::string_view name;
    Request::Kind kind;
    std::string_view detail;  // the member beside it; empty: none
    bool tray = false;        // may have kForce and kWait
};
constexpr std::string_view kForce = "force";
constexpr std::string_view kWait = "wait";
constexpr std::array kSpellings = {
    Spelling{"attach", Request::Kind::attach, "thing"},
    Spelling{"detach", Request::Kind::detach, "key"},
    Spelling{"insert", Request::Kind::insert, "file", true},
    Spelling{"eject", Request::Kind::eject, "", true},
};

// A member that is true or false, or absent: false. Nothing: it is neither.
std::optional<bool> flag(std::string_view element, std::string_view name)
{
    const auto value = json_find(element, name);
    if (value && json_type(*value) != JsonType::boolean) return std::nullopt;
    return value == "true";
}

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
        if (member.key != spelling->name && member.key != spelling->detail &&
            !(spelling->tray && (member.key == kForce || member.key == kWait)))
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
    const auto force = flag(element, kForce);
    const auto waits = flag(element, kWait);
    if (!force || !waits) return bad("\"force\" and \"wait\" are true or false");
    request.force = *force;
    request.waits = *waits;
    if (spelling->kind != Request::Kind::detach) {  // a drive is named by its vdev alone
        request.device_class = kDisks;
        request.key = *object;
    }
    return request;
}

// A request after all that can be found wrong with it without a lock.
struct Prepared {
    Request request;
    Wish wish;
    std::optional<Draft> draft = {};  // nothing: it depends on the entry, or on what QEMU says
};

// What is plugged into a port of the host's has another address each time: it is looked up now.
Result<void> look_up_usb_port(const std::string& sysfs, Request& request)
{
    if (request.kind != Request::Kind::attach) return {};
    const auto text = json_minify(request.text, "thing", limits::thing_bytes_max);
    if (!text || !usb_port_named_by(request.device_class, *text)) return {};
    auto whole = with_usb_address(sysfs, request.device_class, *text);
    if (!whole) return std::move(whole).error();
    request.text = *std::move(whole);
    return {};
}

Result<Prepared> prepare(const std::string& sysfs, Request request)
{
    if (auto found = look_up_usb_port(sysfs, request); !found) return std::move(found).error();
    const ThingName named{request.device_class, request.key};
    switch (request.kind) {
    case Request::Kind::detach:
        return Prepared{std::move(request), Wish{Verb::remove, named}};
    case Request::Kind::eject: {
        Wish wish{Verb::change, named, {}, request.force};
        return Prepared{std::move(request), std::move(wish)};
    }
    case Request::Kind::insert: {
        Wish wish{Verb::change, named, medium_of(with_medium("{}", request.text, "raw")),
                  request.force};
        return Prepared{std::move(request), std::move(wish)};
    }
    case Request::Kind::attach:
        break;
    }
    if (request.device_class == kVcpus) {
        auto thing = name_of_attach(request.device_class, request.text);
        if (!thing) return std::move(thing).error();
        auto json = json_minify(request.text, "thing", limits::thing_bytes_max);
        if (!json) return std::move(json).error();
        Wish wish{Verb::add, *std::move(thing), *std::move(json)};
        return Prepared{std::move(request), std::move(wish)};
    }
    auto draft = draft_hot_plug(request.device_class, request.text);
    if (!draft) return std::move(draft).error();
    Wish wish = wish_of(*draft);
    return Prepared{std::move(request), std::move(wish), *std::move(draft)};
}

// The draft, from the entry and QEMU as they are under the engine's hold.
Task<Result<Draft>> complete(Store& store, Engine& engine, Prepared prepared, Deadline until)
{
    if (prepared.draft) {
        auto ok = check_in_qemu(store.db(), engine.domain(), *prepared.draft);
        if (!ok) co_return std::move(ok).error();
        co_return *std::move(prepared.draft);
    }
    const Request& request = prepared.request;
    if (request.kind == Request::Kind::attach) {
        auto slots = co_await ask(engine.monitor(), "query-hotpluggable-cpus", "", until);
        if (!slots) co_return std::move(slots).error();
        if (const auto few = listed(*slots, "query-hotpluggable-cpus"); !few) co_return few.error();
        co_return draft_attach_vcpu(request.text, *slots);
    }
    const auto entry = read_thing(store.db(), engine.domain().id, prepared.wish.thing);
    if (!entry)
        co_return Error(Errc::not_found,
                        engine.domain().subject() + " has no " + prepared.wish.thing.text(),
                        "'xlstore things DOM' shows what it has");
    if (request.kind == Request::Kind::detach)
        co_return draft_detach(*entry, made_of(store.db(), engine.domain().id, *entry));
    auto draft = request.kind == Request::Kind::insert ? draft_insert(*entry, request.text)
                                                       : draft_eject(*entry);
    if (!draft) co_return std::move(draft).error();
    if (auto ok = check_in_qemu(store.db(), engine.domain(), *draft); !ok)
        co_return std::move(ok).error();
    draft->waits_for_tray = request.waits;
    if (request.force) open_by_force(draft->plan);
    co_return draft;
}

Task<Result<Done>> perform_under(Store& store, Engine& engine, Prepared prepared, Deadline until)
{
    if (auto connected = co_await engine.stay_connected(until); !connected)
        co_return std::move(connected).error();
    std::vector<Wish> wishes(1, prepared.wish);
    auto way = co_await engine.resolve_pending(std::move(wishes), until);
    if (!way) co_return std::move(way).error();
    if (*way) co_return **std::move(way);
    auto draft = co_await complete(store, engine, std::move(prepared), until);
    if (!draft) co_return std::move(draft).error();
    co_return co_await engine.operate(*std::move(draft), until);
}

// One of several: what is thrown is its outcome alone, since those before it have theirs.
Task<Result<Done>> perform_one(Store& store, Engine& engine, Prepared prepared, Deadline until)
{
    const DomainId domain = engine.domain().id;
    Result<Done> done = Error(Errc::no_memory, {});
    try {
        done = co_await perform_under(store, engine, std::move(prepared), until);
    } catch (...) {
        done = caught();
    }
    if (!done) co_return gone_if_destroyed(store, domain, std::move(done).error());
    co_return done;
}

// All of them as one; every outcome is the same but for the intent's number.
Task<Result<Done>> perform_all(Store& store, Engine& engine, std::vector<Prepared> all,
                               Deadline until)
{
    std::vector<Wish> wishes;
    for (const auto& prepared : all)
        wishes.push_back(prepared.wish);
    auto way = co_await engine.resolve_pending(std::move(wishes), until);
    if (!way) co_return std::move(way).error();
    if (*way) co_return **std::move(way);
    std::vector<Draft> drafts;
    for (auto& prepared : all) {
        auto draft = co_await complete(store, engine, std::move(prepared), until);
        if (!draft) co_return std::move(draft).error();
        drafts.push_back(*std::move(draft));
    }
    co_return co_await engine.operate(std::move(drafts), until);
}

// One request's share of what became of all. `share` is done, with room for its intent: an answer
// that needs memory for nothing but its words.
void share_out(Result<Done>& share, const Result<Done>& whole, std::size_t place,
               std::optional<IntentId> still_open) noexcept
{
    if (whole) {
        share->intents.front() = whole->intents[place];
        try {
            share->evidence = whole->evidence;
        } catch (const std::bad_alloc&) {
            share->evidence.clear();
        }
        return;
    }
    Error error(whole.error().code, {});
    error.intent = whole.error().intent;
    if (error.code == Errc::in_doubt && still_open) error.intent = value_of(*still_open);
    try {
        error.message = whole.error().message;
        error.advice = whole.error().advice;
    } catch (const std::bad_alloc&) {
        error.advice.clear();
    }
    share = std::move(error);
}

// Nothing where it cannot be read: a batch is settled as one, so that the number of its first
// serves as well.
std::optional<IntentId> still_open(Store& store, DomainId domain, const ThingName& thing) noexcept
{
    try {
        return open_intent_of(store.db(), domain, thing);
    } catch (const std::exception&) {
        return std::nullopt;
    }
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
        prepared.push_back(prepare(store.host().sysfs, std::move(request)));
        if (!prepared.back()) {
            Error error = prepared.back().error();
            error.message = where + error.message;
            if (all_or_none) co_return error;
            prepared.back() = std::move(error);
        } else if (!named.insert(prepared.back()->wish.thing.text()).second) {
            co_return Error(Errc::invalid,
                            where + prepared.back()->wish.thing.text() + " is named before it, too",
                            "nothing was changed; name each thing once");
        }
    }
    const std::string operation = "batch of " + std::to_string(prepared.size());
    const DomainId id = domain.id;
    auto engine = co_await Engine::begin(store, std::move(domain), operation, until);
    if (!engine) co_return gone_if_destroyed(store, id, std::move(engine).error());

    // The answer's place is made before anything is done: it is not to fail for want of memory.
    std::vector<Outcome> outcomes;
    for (const auto& one : prepared)
        outcomes.push_back(Outcome{one ? one->wish.thing.text() : std::string(),
                                   Done{std::vector<IntentId>(1), {}}});
    if (!all_or_none) {
        for (std::size_t i = 0; i < prepared.size(); ++i) {
            if (!prepared[i])
                outcomes[i].done = std::move(prepared[i]).error();
            else
                outcomes[i].done =
                    co_await perform_one(store, *engine, *std::move(prepared[i]), until);
        }
        co_return std::move(outcomes);
    }
    std::vector<ThingName> things;
    std::vector<Prepared> all;
    for (auto& one : prepared) {
        things.push_back(one->wish.thing);
        all.push_back(*std::move(one));
    }
    auto whole = co_await perform_all(store, *engine, std::move(all), until);
    if (!whole) whole = gone_if_destroyed(store, id, std::move(whole).error());
    for (std::size_t i = 0; i < things.size(); ++i)
        share_out(outcomes[i].done, whole, i, still_open(store, id, things[i]));
    co_return std::move(outcomes);
}

Task<Result<Done>> perform(Store& store, DomainRow domain, Request request, Deadline until)
{
    auto prepared = prepare(store.host().sysfs, std::move(request));
    if (!prepared) co_return std::move(prepared).error();
    const DomainId id = domain.id;
    std::string operation =
        std::string(kind_name(prepared->request.kind)) + " " + prepared->wish.thing.text();
    auto engine = co_await Engine::begin(store, std::move(domain), std::move(operation), until);
    if (!engine) co_return gone_if_destroyed(store, id, std::move(engine).error());
    co_return co_await perform_one(store, *engine, *std::move(prepared), until);
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
