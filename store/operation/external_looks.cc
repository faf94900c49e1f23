// SPDX-License-Identifier: MIT
// Thing by thing: an earlier intent, the draft of the entry as it is now, the look of R16; then one
// commit for all. To settle: the guest that was asked and keeps it first, then Engine::resolve,
// which looks, undoes what is half done, and closes.
#include "store/operation/external_looks.hpp"

#include <algorithm>
#include <set>

#include "store/base/limits.hpp"
#include "store/core/intent_rows.hpp"
#include "store/model/device_class.hpp"
#include "store/operation/asked.hpp"
#include "store/operation/grace.hpp"
#include "store/operation/host_usb_port.hpp"
#include "store/operation/in_qemu.hpp"
#include "store/qmp/probe.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

Error earlier_one(const Engine& engine, const ThingName& thing, IntentId id, const Resolved& what)
{
    Error error(what.resolution == Resolution::in_doubt ? Errc::in_doubt : Errc::refused,
                engine.domain().subject() + ": " + thing.text() + ": an earlier intent, " +
                    std::to_string(value_of(id)) + ", stays open: " + what.reason,
                "nothing was changed; 'xlstore wait " + std::to_string(value_of(id)) +
                    "' until that one is over, then try again");
    error.intent = value_of(id);
    return error;
}

// Nothing: the way is free. An intent: the same removal, which waits for its guest.
Task<Result<std::optional<IntentId>>> resolve_earlier(Engine& engine, Draft draft, Deadline until)
{
    Db& db = engine.store().db();
    const auto id = open_intent_of(db, engine.domain().id, draft.thing);
    if (!id) co_return std::optional<IntentId>();
    auto unit = read_batch(db, *id);
    if (!unit) co_return std::move(unit).error();
    const bool same =
        unit->size() == 1 && draft.verb == Verb::remove && unit->front().draft.verb == Verb::remove;
    const auto resolved = co_await engine.resolve(*std::move(unit), until, Engine::Tray::given_up);
    if (!resolved) co_return resolved.error();
    if (!resolved->open()) {
        engine.note_settled(*id, draft.thing);
        co_return std::optional<IntentId>();
    }
    if (same && resolved->resolution == Resolution::waits) co_return id;
    co_return earlier_one(engine, draft.thing, *id, *resolved);
}

// The draft with the address of what is plugged into a port that it names.
Result<Draft> whole_draft(Engine& engine, Intention intention)
{
    const auto text = json_minify(intention.json, "json", limits::thing_bytes_max);
    if (text && intention.verb == Verb::add) {  // what is no JSON is refused below
        auto whole = with_usb_address(engine.store().host().sysfs, intention.device_class, *text);
        if (!whole) return std::move(whole).error();
        intention.json = *std::move(whole);
    }
    return draft_of(engine.store().db(), engine.domain().id, intention);
}

// Either an intent that is there, or a draft that may be opened.
struct Ready {
    std::optional<IntentId> earlier;
    std::optional<Draft> draft;
};

Task<Result<Ready>> make_ready(Engine& engine, Intention intention, Draft first, Deadline until)
{
    Ready ready;
    auto earlier = co_await resolve_earlier(engine, std::move(first), until);
    if (!earlier) co_return std::move(earlier).error();
    if (*earlier) {
        ready.earlier = *earlier;
        co_return ready;
    }
    auto draft = whole_draft(engine, std::move(intention));  // of the entry as it is now
    if (!draft) co_return std::move(draft).error();
    if (auto ok = check_in_qemu(engine.store().db(), engine.domain(), *draft); !ok)
        co_return std::move(ok).error();
    if (auto ok = co_await engine.check_before(*draft, until); !ok) co_return std::move(ok).error();
    ready.draft = *std::move(draft);
    co_return ready;
}

// Of each, before anything is changed. What has no key yet is a thing of its own.
Result<std::vector<Draft>> first_drafts(Engine& engine, const std::vector<Intention>& wanted)
{
    std::vector<Draft> drafts;
    std::set<std::string> named;
    for (const auto& intention : wanted) {
        auto draft = whole_draft(engine, intention);
        if (!draft) return std::move(draft).error();
        if (!draft->thing.key.empty() && !named.insert(draft->thing.text()).second)
            return Error(Errc::invalid,
                         engine.domain().subject() + ": intention " +
                             std::to_string(drafts.size() + 1) + ": " + draft->thing.text() +
                             " is named before it, too",
                         "nothing was changed; name each thing once");
        drafts.push_back(*std::move(draft));
    }
    return drafts;
}

// As the other toolstack keeps it: the same thing, in its own words.
Result<void> take_as_saved(Intent& intent, const std::string& json)
{
    auto text = json_minify(json, "json", limits::thing_bytes_max);
    if (!text) return std::move(text).error();
    const auto& thing = intent.draft.thing;
    const auto* of = find_device_class(thing.device_class);
    if (of != nullptr && !thing.key.starts_with('#')) {
        auto key = thing_key(*of, *text, 0);
        if (!key) return std::move(key).error();
        if (*key != thing.key)
            return Error(Errc::invalid, thing.text() + ": the element that was saved is that of " +
                                            json_shown(*key));
    }
    if (intent.draft.image_after) intent.draft.image_after = *std::move(text);
    return {};
}

// The guest was asked, and has it still: that is written down, and the intent stays open.
Task<Result<LookedAt>> note_asked(Engine& engine, const Intent& intent, Evidence found,
                                  std::string evidence, Deadline until)
{
    std::vector<Product> devices = intent.draft.plan.probe.products;
    std::erase_if(devices, [](const Product& product) { return !is_device(product); });
    LookedAt looked{intent.id, std::nullopt,
                    "the guest was asked to let go, and has not: " + found.reason};
    std::vector<IntentId> alone(1, intent.id);
    std::string note = looked.reason + "; " + evidence;
    auto noted = co_await engine.journal().note(engine.hold(), std::move(alone), std::move(note),
                                                std::move(devices), settle_deadline(until));
    if (!noted) co_return std::move(noted).error();
    co_return looked;
}

std::optional<Image> image_of(Resolution resolution)
{
    switch (resolution) {
    case Resolution::done:
        return Image::after;
    case Resolution::undone:
    case Resolution::overtaken:
        return Image::before;
    case Resolution::emptied:
        return Image::neither;
    case Resolution::waits:
    case Resolution::stuck:
    case Resolution::in_doubt:
        break;
    }
    return std::nullopt;
}

Task<Result<std::vector<IntentId>>> open_all(Engine& engine, std::vector<Intention> wanted,
                                             Deadline until)
{
    auto first = first_drafts(engine, wanted);
    if (!first) co_return std::move(first).error();
    std::vector<std::optional<IntentId>> order;
    std::vector<Draft> drafts;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        auto ready =
            co_await make_ready(engine, std::move(wanted[i]), std::move((*first)[i]), until);
        if (!ready) co_return std::move(ready).error();
        order.push_back(ready->earlier);
        if (ready->draft) drafts.push_back(*std::move(ready->draft));
    }
    // Before the commit: after it the numbers are not to be lost for want of memory.
    std::vector<IntentId> ids;
    ids.reserve(order.size());
    std::vector<Intent> opened;
    if (!drafts.empty()) {
        auto intents =
            co_await engine.journal().open(engine.hold(), std::move(drafts),
                                           engine.domain().registration->path, until, Ending::each);
        if (!intents) co_return std::move(intents).error();
        opened = *std::move(intents);
    }
    auto next = opened.begin();
    for (const auto& earlier : order)
        ids.push_back(earlier ? *earlier : (next++)->id);
    co_return std::move(ids);
}

}  // namespace

Task<Result<std::vector<IntentId>>> look_and_open(Engine& engine, std::vector<Intention> wanted,
                                                  Deadline until)
{
    return with_earlier_changes(engine, open_all(engine, std::move(wanted), until));
}

Task<Result<LookedAt>> look_and_settle(Engine& engine, CarriedOut done, Deadline until)
{
    auto intent = read_intent(engine.store().db(), done.intent);
    if (!intent) co_return std::move(intent).error();
    if (intent->domain != engine.domain().id || intent->batch)
        co_return Error(Errc::invalid, "intent " + std::to_string(value_of(done.intent)) +
                                           " is another domain's, or one of a batch");
    if (done.json)
        if (auto ok = take_as_saved(*intent, *done.json); !ok) co_return std::move(ok).error();
    if (done.asked && intent->draft.verb == Verb::remove) {
        Evidence found =
            co_await run_probe(engine.monitor(), Verb::remove, intent->draft.plan.probe, until);
        if (found.image == Image::before || found.half)
            co_return co_await note_asked(engine, *intent, std::move(found),
                                          std::move(done.evidence), until);
    }
    intent->note = done.evidence;
    std::vector<Intent> alone(1, *std::move(intent));
    auto resolved = co_await engine.resolve(std::move(alone), until);
    if (!resolved) co_return std::move(resolved).error();
    LookedAt looked{done.intent, image_of(resolved->resolution), std::move(resolved->reason)};
    co_return looked;
}

}  // namespace xlstore
