// SPDX-License-Identifier: MIT
// perform() is one request, batch() several under one hold and connection. From a request to its
// outcome:
//
//   1. draft_of     checks all that can be found wrong without a lock. The draft says what is
//                   wanted; its plan may have to wait for the entry, or for what QEMU says.
//   2. complete     under the hold, gives it the plan.
//   3. Engine::operate  commits it as an intent, carries it out and answers with the outcome.
//
// In a batch one that fails, or throws, keeps no other from its turn; all-or-none makes one plan of
// all drafts and shares its outcome out.
#include "store/operation/operation.hpp"

#include <algorithm>
#include <new>
#include <optional>
#include <set>

#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/on_cancel.hpp"
#include "store/core/product.hpp"
#include "store/model/libxl_fields.hpp"
#include "store/model/pci_address.hpp"
#include "store/operation/earlier_request.hpp"
#include "store/operation/engine.hpp"
#include "store/operation/host_usb_port.hpp"
#include "store/operation/in_qemu.hpp"
#include "store/operation/in_xenstore.hpp"
#include "store/operation/pci_owner.hpp"
#include "store/qmp/inventory.hpp"
#include "store/qmp/probe.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kDisks = "disks";
constexpr std::string_view kVcpus = "vcpus";

// The thing that is to be attached. What is plugged into a port of the host's has another address
// each time: it is looked up now.
Result<std::string> text_of_attach(const std::string& sysfs, const Request& request)
{
    const auto text = json_minify(request.text, "thing", limits::thing_bytes_max);
    if (!text || !usb_port_named_by(request.device_class, *text)) return request.text;
    return with_usb_address(sysfs, request.device_class, *text);
}

// A PCI device given by a name that xenstore has gets the address that it stands for, as libxl
// keeps it. One that is not found is refused for that by its plan.
Task<Result<void>> look_up_pci_name(Store& store, Request& request, Deadline until)
{
    constexpr std::string_view pci = "pcidevs";
    if (request.kind != Request::Kind::attach || request.device_class != pci)
        co_return Result<void>();
    auto text = json_minify(request.text, "thing", limits::thing_bytes_max);
    if (!text || pci_address_of(*text)) co_return Result<void>();
    auto name = json_get_string(*text, "name").value_or("");
    auto address = co_await find_pci_device_named(store.loop(), std::move(name), until);
    if (!address) co_return std::move(address).error();
    if (!*address) co_return Result<void>();
    for (const auto& [member, number] : {std::pair{"func", (*address)->function},
                                         {"dev", (*address)->device},
                                         {"bus", (*address)->bus},
                                         {"domain", (*address)->segment}})
        if (number != 0) text = with_libxl_member(pci, *text, member, std::to_string(number));
    request.text = *std::move(text);
    co_return Result<void>();
}

// What is wanted, after all that can be found wrong with it without a lock. The plan of an attach
// is there but for a vcpu's, which depends on what QEMU says.
Result<Draft> draft_of(const std::string& sysfs, const Request& request)
{
    Draft draft{};
    draft.thing = ThingName{request.device_class, request.key};
    draft.waits_for_tray = request.waits;
    draft.forces_tray = request.force;
    switch (request.kind) {
    case Request::Kind::detach:
        draft.verb = Verb::remove;
        return draft;
    case Request::Kind::eject:
        draft.verb = Verb::change;
        return draft;
    case Request::Kind::insert:
        draft.verb = Verb::change;
        draft.image_after = with_medium("{}", request.text, "raw");
        return draft;
    case Request::Kind::attach:
        break;
    }
    auto text = text_of_attach(sysfs, request);
    if (!text) return std::move(text).error();
    if (request.device_class != kVcpus) return draft_hot_plug(request.device_class, *text);
    auto thing = name_of_attach(request.device_class, *text);
    if (!thing) return std::move(thing).error();
    auto json = json_minify(*text, "thing", limits::thing_bytes_max);
    if (!json) return std::move(json).error();
    draft.verb = Verb::add;
    draft.thing = *std::move(thing);
    draft.image_after = *std::move(json);
    return draft;
}

// What QEMU is asked before anything is written, where that is soon: images are opened before it,
// and an entry has to be read to say what a removal is about. One that is made of more than the new
// image is asked for as well, later.
std::vector<qmp::Question> first_questions(const Draft& wanted)
{
    const auto has_image = [](const Step& step) { return !step.file.empty(); };
    if (wanted.verb != Verb::add || std::ranges::any_of(wanted.plan.steps, has_image)) return {};
    return questions_of(wanted.plan.probe);
}

// A vcpu's, with the slot that QEMU has for it.
Task<Result<Draft>> draft_of_vcpu(Engine& engine, const Draft& wanted, Deadline until)
{
    auto slots = co_await query(engine.monitor(), "query-hotpluggable-cpus", "", until);
    if (!slots) co_return std::move(slots).error();
    if (const auto few = listed(*slots, "query-hotpluggable-cpus"); !few) co_return few.error();
    co_return draft_attach_vcpu(*wanted.image_after, *slots);
}

// The change of a drive that is `wanted` by `request`.
Result<Draft> draft_of_change(const ThingRow& entry, const Request& request, const Draft& wanted)
{
    auto draft = request.kind == Request::Kind::insert ? draft_insert(entry, request.text)
                                                       : draft_eject(entry);
    if (!draft) return draft;
    draft->waits_for_tray = wanted.waits_for_tray;
    draft->forces_tray = wanted.forces_tray;
    if (draft->forces_tray) open_by_force(draft->plan);
    return draft;
}

// `wanted` with its plan, from the entry and QEMU as they are under the engine's hold.
Task<Result<Draft>> complete(Store& store, Engine& engine, Request request, Draft wanted,
                             Deadline until)
{
    if (wanted.verb == Verb::add && wanted.thing.device_class == kVcpus)
        co_return co_await draft_of_vcpu(engine, wanted, until);
    Result<Draft> draft = std::move(wanted);
    if (draft->verb != Verb::add) {
        const auto entry = read_thing(store.db(), engine.domain().id, draft->thing);
        if (!entry)
            co_return Error(Errc::not_found,
                            engine.domain().subject() + " has no " + draft->thing.text(),
                            "'xlstore things DOM' shows what it has");
        if (entry->primary == "xenstore")
            co_return Error(Errc::conflict,
                            engine.domain().subject() + ": " + draft->thing.text() +
                                " was attached in xenstore while this command began",
                            "nothing was changed; give the command again");
        draft = draft->verb == Verb::remove
                    ? draft_detach(*entry, made_of(store.db(), engine.domain().id, *entry))
                    : draft_of_change(*entry, request, *draft);
        if (!draft) co_return draft;
    }
    if (auto ok = check_in_qemu(store.db(), engine.domain(), *draft); !ok)
        co_return std::move(ok).error();
    co_return draft;
}

// What is said of an attach of what is there already, just as it is asked for. Alone it is refused
// (R16); but a batch that was cut short is given again, and what it had done is not "not done"
// (R18).
enum class ThereAlready { is_refused, is_done };

// Done, if that is so of each of the drafts.
Task<std::optional<Done>> all_there(Engine& engine, const std::vector<Draft>& drafts,
                                    Deadline until)
{
    std::optional<Done> done;
    Done there{std::vector<IntentId>(drafts.size()), {}};
    for (const auto& draft : drafts) {
        auto evidence = co_await engine.is_there(draft, until);
        if (!evidence) co_return done;
        there.evidence = *std::move(evidence);
    }
    done = std::move(there);
    co_return done;
}

// An older request for what all of these want comes first, and may be the answer (R18); also where
// this one ends before it has come to it.
Task<Outcome> perform_under(Store& store, Engine& engine, std::vector<Request> requests,
                            std::vector<Draft> wanted, ThereAlready there_already, Deadline until)
{
    if (auto connected = co_await engine.stay_connected(until); !connected)
        co_return std::move(connected).error();
    auto earlier = co_await engine.resolve_pending(wanted, until);
    if (earlier) co_return *std::move(earlier);
    std::vector<Draft> drafts;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        auto draft =
            co_await complete(store, engine, std::move(requests[i]), std::move(wanted[i]), until);
        if (!draft) co_return std::move(draft).error();
        drafts.push_back(*std::move(draft));
    }
    if (there_already == ThereAlready::is_done) {
        auto there = co_await all_there(engine, drafts, until);
        if (there) co_return *std::move(there);
    }
    co_return co_await engine.operate(std::move(drafts), until);
}

// One of several: what is thrown is its outcome alone, since those before it have theirs.
Task<Outcome> perform_one(Store& store, Engine& engine, Request request, Draft wanted,
                          ThereAlready there_already, Deadline until)
{
    const DomainId domain = engine.domain().id;
    Outcome done = Error(Errc::no_memory, {});
    try {
        std::vector<Request> requests;
        requests.push_back(std::move(request));
        std::vector<Draft> drafts;
        drafts.push_back(std::move(wanted));
        auto work = perform_under(store, engine, std::move(requests), drafts, there_already, until);
        work = with_earlier_request(store, engine.domain(), std::move(drafts), std::move(work));
        done = co_await with_earlier_changes(engine, std::move(work));
    } catch (...) {
        done = caught();
    }
    if (!done) co_return gone_if_destroyed(store, domain, std::move(done).error());
    co_return done;
}

Task<Outcome> perform_in_qemu(Store& store, DomainRow domain, Request request, Draft wanted,
                              Deadline until)
{
    const DomainId id = domain.id;
    std::string operation = std::string(kind_name(request.kind)) + " " + wanted.thing.text();
    auto ahead = first_questions(wanted);
    auto engine = co_await Engine::begin(store, std::move(domain), std::move(operation),
                                         std::move(ahead), until);
    if (!engine) co_return gone_if_destroyed(store, id, std::move(engine).error());
    co_return co_await perform_one(store, *engine, std::move(request), std::move(wanted),
                                   ThereAlready::is_refused, until);
}

// One request's share of what became of all. `share` is done, with room for its intent: an answer
// that needs memory for nothing but its words.
void share_out(Outcome& share, const Outcome& whole, std::size_t place,
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

// What each request wants; in all-or-none, or when a thing is named twice, one that cannot be had
// is the error of all.
Result<std::vector<Result<Draft>>> drafts_of(const std::string& sysfs,
                                             const std::vector<Request>& requests, bool all_or_none)
{
    if (requests.empty()) return Error(Errc::invalid, "batch: there is no request in it");
    std::vector<Result<Draft>> wanted;
    std::set<std::string> named;
    for (const auto& request : requests) {
        const std::string where = "batch: request " + std::to_string(wanted.size() + 1) + ": ";
        if (all_or_none && request.kind != Request::Kind::attach)
            return Error(Errc::invalid,
                         where +
                             "only attaches can be all done or none: what a guest has let go "
                             "of cannot be put back as it was",
                         "nothing was changed; omit --all-or-none");
        auto draft = draft_of(sysfs, request);
        if (draft && !named.insert(draft->thing.text()).second)
            return Error(Errc::invalid, where + draft->thing.text() + " is named before it, too",
                         "nothing was changed; name each thing once");
        if (!draft) {
            Error error = std::move(draft).error();
            error.message = where + error.message;
            if (all_or_none) return error;
            draft = std::move(error);
        }
        wanted.push_back(std::move(draft));
    }
    return wanted;
}

// The answer's place is made before anything is done: it is not to fail for want of memory.
std::vector<RequestOutcome> places_for(const std::vector<Result<Draft>>& wanted)
{
    std::vector<RequestOutcome> outcomes;
    for (const auto& one : wanted)
        outcomes.push_back(RequestOutcome{one ? one->thing.text() : std::string(),
                                          Done{std::vector<IntentId>(1), {}}});
    return outcomes;
}

// Of a batch that is cancelled at request `at`: what that one left, or what those before it have
// done. Nothing, if nothing was changed.
std::optional<Error> cut_short(Store& store, const DomainRow& domain,
                               const std::vector<RequestOutcome>& outcomes, std::size_t at)
{
    std::optional<Error> answer = store.take_left_answer();
    std::string done;
    for (std::size_t i = 0; i < at; ++i) {
        const Outcome& one = outcomes[i].done;
        if (one) done += (done.empty() ? "" : ", ") + outcomes[i].thing;
        const bool worse = !answer || answer->code == Errc::cancelled;
        if (!one && one.error().code == Errc::in_doubt && worse) answer = one.error();
    }
    if (!answer) {
        if (done.empty()) return answer;
        answer.emplace(Errc::cancelled, domain.subject() + ": it was cancelled");
    }
    if (answer->code == Errc::cancelled && !done.empty()) {
        answer->code = Errc::unfinished;
        answer->advice = "what is done stays done; give the rest again";
    }
    answer->message = "batch: request " + std::to_string(at + 1) + " of " +
                      std::to_string(outcomes.size()) + ": " + answer->message;
    if (!done.empty()) answer->message += "; done before it: " + done;
    return answer;
}

// `domain` and `outcomes` are there for as long as the task is.
Task<Outcome> in_its_turn(Store& store, const DomainRow& domain,
                          const std::vector<RequestOutcome>& outcomes, std::size_t at,
                          Task<Outcome> one)
{
    const auto given_up = [&, at] { return cut_short(store, domain, outcomes, at); };
    co_return co_await or_when_cancelled(store, Errc::unfinished, given_up, std::move(one));
}

// Each for itself, in their order.
Task<std::vector<RequestOutcome>> perform_each(Store& store, Engine& engine,
                                               std::vector<Request> requests,
                                               std::vector<Result<Draft>> wanted, Deadline until)
{
    auto outcomes = places_for(wanted);
    for (std::size_t i = 0; i < requests.size(); ++i) {
        if (!wanted[i]) {
            outcomes[i].done = std::move(wanted[i]).error();
            continue;
        }
        auto one = perform_one(store, engine, std::move(requests[i]), *std::move(wanted[i]),
                               ThereAlready::is_done, until);
        outcomes[i].done =
            co_await in_its_turn(store, engine.domain(), outcomes, i, std::move(one));
    }
    co_return outcomes;
}

// All or none, as one plan. REQUIRES that each of `wanted` is a draft.
Task<std::vector<RequestOutcome>> perform_all(Store& store, Engine& engine,
                                              std::vector<Request> requests,
                                              std::vector<Result<Draft>> wanted, Deadline until)
{
    auto outcomes = places_for(wanted);
    const DomainId domain = engine.domain().id;
    std::vector<ThingName> things;
    std::vector<Draft> all;
    for (auto& one : wanted) {
        things.push_back(one->thing);
        all.push_back(*std::move(one));
    }
    auto work =
        perform_under(store, engine, std::move(requests), all, ThereAlready::is_done, until);
    work = with_earlier_request(store, engine.domain(), std::move(all), std::move(work));
    auto whole = co_await with_earlier_changes(engine, std::move(work));
    if (!whole) whole = gone_if_destroyed(store, domain, std::move(whole).error());
    for (std::size_t i = 0; i < things.size(); ++i)
        share_out(outcomes[i].done, whole, i, still_open(store, domain, things[i]));
    co_return outcomes;
}

// A batch with a thing of xenstore in it: each request for itself, with a hold of its own kind of
// lock. Those of QEMU have no connection in common then.
Task<Result<std::vector<RequestOutcome>>> batch_in_turn(Store& store, DomainRow domain,
                                                        std::vector<Request> requests,
                                                        Deadline until)
{
    std::vector<RequestOutcome> outcomes;
    std::set<std::string> named;
    for (const auto& request : requests) {
        ThingName thing{request.device_class, request.key};
        if (request.kind == Request::Kind::attach)
            if (auto name = name_of_attach(request.device_class, request.text))
                thing = *std::move(name);
        if (!thing.key.empty() && !named.insert(thing.text()).second)
            co_return Error(Errc::invalid,
                            "batch: request " + std::to_string(outcomes.size() + 1) + ": " +
                                thing.text() + " is named before it, too",
                            "nothing was changed; name each thing once");
        outcomes.push_back(RequestOutcome{thing.text(), Error(Errc::no_memory, {})});
    }
    for (std::size_t i = 0; i < requests.size(); ++i) {
        auto one = perform(store, domain, std::move(requests[i]), until);
        outcomes[i].done = co_await in_its_turn(store, domain, outcomes, i, std::move(one));
    }
    co_return std::move(outcomes);
}

// The answer of a batch that could not begin: `failure`; or an outcome for each request, where an
// older request for the same as one of them (in all-or-none: as all of them) is open.
Result<std::vector<RequestOutcome>> not_begun(Store& store, const DomainRow& domain,
                                              const std::vector<Result<Draft>>& wanted,
                                              BatchMode mode, const Error& failure)
{
    auto outcomes = places_for(wanted);
    std::vector<Draft> all;
    if (mode == BatchMode::all_or_none)
        for (const auto& one : wanted)
            all.push_back(*one);
    bool in_doubt = false;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        Error error = wanted[i] ? failure : wanted[i].error();
        if (wanted[i]) {
            const std::vector<Draft> unit = all.empty() ? std::vector<Draft>{*wanted[i]} : all;
            error = or_doubt_of_earlier(store, domain, unit, std::move(error));
        }
        if (error.code == Errc::in_doubt) {
            in_doubt = true;
            if (const auto open = still_open(store, domain.id, wanted[i]->thing))
                error.intent = value_of(*open);
        }
        outcomes[i].done = std::move(error);
    }
    if (!in_doubt) return failure;
    return outcomes;
}

// The same of one that was cancelled: the first that is in doubt.
std::optional<Error> cancelled_unbegun(Store& store, const DomainRow& domain,
                                       const std::vector<Result<Draft>>& wanted, BatchMode mode)
{
    const Error cancelled(Errc::cancelled, "it was cancelled before QEMU was asked about it");
    const auto outcomes = not_begun(store, domain, wanted, mode, cancelled);
    if (!outcomes) return std::nullopt;
    for (std::size_t i = 0; i < outcomes->size(); ++i) {
        const Outcome& one = (*outcomes)[i].done;
        if (one || one.error().code != Errc::in_doubt) continue;
        Error answer = one.error();
        answer.message = "batch: request " + std::to_string(i + 1) + " of " +
                         std::to_string(outcomes->size()) + ": " + answer.message;
        return answer;
    }
    return std::nullopt;
}

}  // namespace

Task<Result<std::vector<RequestOutcome>>> batch(Store& store, DomainRow domain,
                                                std::vector<Request> requests, BatchMode mode,
                                                Deadline until)
{
    const bool all_or_none = mode == BatchMode::all_or_none;
    const auto of_xenstore = [&](const Request& request) {
        return is_in_xenstore(store.db(), domain, request);
    };
    if (std::any_of(requests.begin(), requests.end(), of_xenstore)) {
        if (!all_or_none)
            co_return co_await batch_in_turn(store, std::move(domain), std::move(requests), until);
        co_return Error(Errc::invalid,
                        "batch: a thing of xenstore cannot be one of several that are all done or "
                        "none",
                        "nothing was changed; omit --all-or-none");
    }
    for (auto& request : requests) {
        auto found = co_await look_up_pci_name(store, request, until);
        if (!found) co_return std::move(found).error();
    }
    auto wanted = drafts_of(store.host().sysfs, requests, all_or_none);
    if (!wanted) co_return std::move(wanted).error();
    const std::string operation = "batch of " + std::to_string(wanted->size());
    std::vector<qmp::Question> nothing;
    const auto given_up = [&] { return cancelled_unbegun(store, domain, *wanted, mode); };
    auto begun =
        or_when_cancelled(store, Errc::cancelled, given_up,
                          Engine::begin(store, domain, operation, std::move(nothing), until));
    auto engine = co_await std::move(begun);
    if (!engine)
        co_return not_begun(store, domain, *wanted, mode,
                            gone_if_destroyed(store, domain.id, std::move(engine).error()));
    if (all_or_none)
        co_return co_await perform_all(store, *engine, std::move(requests), *std::move(wanted),
                                       until);
    co_return co_await perform_each(store, *engine, std::move(requests), *std::move(wanted), until);
}

Task<Outcome> perform(Store& store, DomainRow domain, Request request, Deadline until)
{
    if (auto found = co_await look_up_pci_name(store, request, until); !found)
        co_return std::move(found).error();
    if (is_in_xenstore(store.db(), domain, request))
        co_return co_await perform_in_xenstore(store, std::move(domain), std::move(request), until);
    auto wanted = draft_of(store.host().sysfs, request);
    if (!wanted) {
        // Where the thing is follows from its entry: without one the draft is of the wrong place.
        const ThingName name{request.device_class, request.key};
        if (request.kind == Request::Kind::detach && find_device_class(name.device_class) &&
            !read_thing(store.db(), domain.id, name))
            co_return Error(Errc::not_found, domain.subject() + " has no " + name.text(),
                            "'xlstore things DOM' shows what it has");
        co_return std::move(wanted).error();
    }
    std::vector<Draft> alone;
    alone.push_back(*wanted);
    auto work = perform_in_qemu(store, domain, std::move(request), *std::move(wanted), until);
    co_return co_await with_earlier_request(store, std::move(domain), std::move(alone),
                                            std::move(work));
}

Task<Outcome> attach(Store& store, DomainRow domain, std::string device_class, std::string json,
                     Deadline until)
{
    Request request{Request::Kind::attach, std::move(device_class), {}, std::move(json)};
    return perform(store, std::move(domain), std::move(request), until);
}

Task<Outcome> detach(Store& store, DomainRow domain, ThingName thing, Deadline until)
{
    Request request{Request::Kind::detach, std::move(thing.device_class), std::move(thing.key), {}};
    return perform(store, std::move(domain), std::move(request), until);
}

Task<Outcome> insert_medium(Store& store, DomainRow domain, std::string vdev, std::string file,
                            Deadline until)
{
    Request request{Request::Kind::insert, std::string(kDisks), std::move(vdev), std::move(file)};
    return perform(store, std::move(domain), std::move(request), until);
}

Task<Outcome> eject_medium(Store& store, DomainRow domain, std::string vdev, Deadline until)
{
    Request request{Request::Kind::eject, std::string(kDisks), std::move(vdev), {}};
    return perform(store, std::move(domain), std::move(request), until);
}

}  // namespace xlstore
