// SPDX-License-Identifier: MIT
// What becomes of an intent that was left open: it is settled with what QEMU shows, its half-done
// steps are undone, or it stays open.
#include <algorithm>

#include "store/base/limits.hpp"
#include "store/classes/same_request.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/on_cancel.hpp"
#include "store/core/product.hpp"
#include "store/operation/asked.hpp"
#include "store/operation/engine.hpp"
#include "store/operation/grace.hpp"
#include "store/operation/open_intents.hpp"
#include "store/operation/other_primary.hpp"
#include "store/operation/overtaken.hpp"
#include "store/operation/plan_runner.hpp"
#include "store/testing/mutation.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

// What a person calls an operation of this verb.
std::string_view request_name(Verb verb)
{
    switch (verb) {
    case Verb::add:
        return "attach";
    case Verb::remove:
        return "detach";
    case Verb::change:
        break;
    }
    return "change";
}

}  // namespace

// The reason goes into the intents where it is news.
Task<Result<Resolved>> Engine::leave_open(const std::vector<Intent>& intents, Resolution why,
                                          const Evidence& found, Deadline until)
{
    Resolved open{why, found.reason};
    if (intents.front().note != plain_text(open.reason, limits::evidence_bytes_max)) {
        std::optional<std::vector<Product>> asked;  // as it was, where nothing was seen
        if (found.image || found.half) asked = found.asked;
        auto noted = co_await journal().note(hold(), ids_of(intents), open.reason, std::move(asked),
                                             settle_deadline(until));
        if (!noted) co_return std::move(noted).error();
    }
    co_return open;
}

// REQUIRES that `found` shows one of the images.
Task<Result<Resolved>> Engine::settle_found(std::vector<Intent> intents, Evidence found,
                                            Deadline until)
{
    const Intent& first = intents.front();
    // Between a device_del and the commit that says so, a crash leaves no trace of it.
    const auto& steps = first.draft.plan.steps;
    if (*found.image == Image::before &&
        std::any_of(steps.begin(), steps.end(),
                    [](const Step& step) { return only_asks_the_guest(step.command); }))
        found.reason += "; whether its guest was asked to let go is not known";
    if (first.draft.verb == Verb::add && *found.image == Image::after)
        co_await query_addresses_of(intents, until);
    auto rest = co_await follow_image(store(), domain(), intents, *found.image, Known::by_looking,
                                      settle_deadline(until));
    if (!rest) {
        found.reason += "; " + rest.error().message;
        co_return co_await leave_open(intents, Resolution::in_doubt, found, until);
    }
    found.reason += *rest;
    std::string evidence = found.reason;
    if (!first.note.empty()) evidence += " (before: " + first.note + ")";
    auto settled = co_await journal().settle(hold(), std::move(intents), *found.image,
                                             std::move(evidence), settle_deadline(until));
    if (!settled) co_return std::move(settled).error();
    Resolved closed{resolution_of(found), found.reason};
    co_return closed;
}

// Nothing was changed by the look. What follows changes QEMU and the store.
Task<Result<Resolved>> Engine::resolve(std::vector<Intent> intents, Deadline until, Tray tray)
{
    const Intent& first = intents.front();
    Evidence found = co_await probe_intents(monitor(), intents, until);
    trace_probed(domain().id, ids_of(intents), found);
    if (tray == Tray::given_up && first.draft.verb == Verb::change && !found.asked.empty()) {
        found.asked.clear();
        found.reason += "; another request has taken the place of this one";
    }
    const std::string number = std::to_string(value_of(first.id));
    Error doubt(Errc::in_doubt,
                domain().subject() + ": " + first.draft.thing.text() + ": intent " + number +
                    " is in doubt: it was cancelled while it was being settled",
                "it stays open: 'xlstore wait " + number + "', or 'xlstore recover'");
    doubt.intent = value_of(first.id);
    auto given_up = [doubt = std::move(doubt)]() mutable { return std::move(doubt); };
    auto rest = resolve_found(std::move(intents), std::move(found), until);
    co_return co_await or_when_cancelled(store(), Errc::in_doubt, std::move(given_up),
                                         std::move(rest));
}

Task<Result<Resolved>> Engine::resolve_found(std::vector<Intent> intents, Evidence found,
                                             Deadline until)
{
    const Verb verb = intents.front().draft.verb;
    if (is_half_done(intents, found)) {
        PlanRunner runner(qemu_, ids_of(intents), asked_of(intents));
        note_change("what intent " + std::to_string(value_of(intents.front().id)) +
                    " had left half done was gone on with as far as QEMU let it");
        found = co_await runner.undo_leftovers(verb, probe_of(intents), std::move(found), until);
        trace_probed(domain().id, ids_of(intents), found);
    }
    if (intents.size() > 1 && found.image == Image::before)
        found.reason += "; none of a batch of " + std::to_string(intents.size()) + " is left";

    const Resolution resolution = resolution_of(found);
    switch (resolution) {
    case Resolution::waits:
    case Resolution::stuck:
    case Resolution::in_doubt:
        co_return co_await leave_open(intents, resolution, found, until);
    case Resolution::overtaken:
        co_return co_await close_overtaken(store(), *this, std::move(intents), std::move(found),
                                           settle_deadline(until));
    case Resolution::done:
    case Resolution::undone:
    case Resolution::emptied:
        break;
    }
    co_return co_await settle_found(std::move(intents), std::move(found), until);
}

Task<std::optional<Outcome>> Engine::resolve_pending(const std::vector<Draft>& wanted,
                                                     Deadline until)
{
    for (const auto& draft : wanted) {
        const auto id = open_intent_of(store().db(), domain().id, draft.thing);
        if (!id) continue;
        auto unit = read_batch(store().db(), *id);
        if (!unit) co_return std::move(unit).error();
        if (wants_the_same(wanted, *unit) && !XLSTORE_MUTATION("own earlier intent")) {
            auto own = co_await take_over(wanted, *std::move(unit), until);
            if (own) co_return own;
            continue;
        }
        const std::string other =
            "an earlier " + std::string(request_name(unit->front().draft.verb)) +
            " of it, intent " + std::to_string(value_of(*id)) + ", which another request made, ";
        auto resolved = co_await resolve(*std::move(unit), until, Tray::given_up);
        if (!resolved) co_return std::move(resolved).error();
        if (resolved->open())
            co_return Error(Errc::refused,
                            domain().subject() + ": " + draft.thing.text() + ": " + other +
                                "is still open: " + resolved->reason,
                            "nothing was changed; 'xlstore wait " + std::to_string(value_of(*id)) +
                                "' until that one is over, then try again");
        note_settled(*id, draft.thing);
    }
    co_return std::optional<Outcome>();
}

// An open intent of an older request for the same: what becomes of it is this one's answer.
// Nothing: it is closed as not done, and this one's turn comes.
Task<std::optional<Outcome>> Engine::take_over(const std::vector<Draft>& wanted,
                                               std::vector<Intent> unit, Deadline until)
{
    OpenIntents open(domain(), wanted, unit);
    std::optional<Error> failure;
    try {
        Done done{ids_of(open.intents), {}};
        if (unit.size() == 1 && unit.front().draft.verb != Verb::add && unit.front().asked_us)
            co_return co_await ask_again(std::move(unit.front()), wanted.front().forces_tray,
                                         until);
        auto resolved = co_await resolve(std::move(unit), until);
        if (resolved && resolved->resolution == Resolution::done) {
            done.evidence = std::move(resolved->reason);
            co_return done;
        }
        if (resolved && !resolved->open()) {
            note_settled(done.intents.front(), wanted.front().thing);
            co_return std::optional<Outcome>();
        }
        failure = resolved ? Error(Errc::in_doubt, std::move(resolved->reason))
                           : std::move(resolved).error();
    } catch (...) {
        failure = caught();
    }
    if (failure->code == Errc::gone) co_return *std::move(failure);
    co_return open.in_doubt_of(*failure);
}

}  // namespace xlstore
