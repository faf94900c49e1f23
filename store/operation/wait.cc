// SPDX-License-Identifier: MIT
// A waiting process holds nothing between two looks. Each look is a recovery of that one intent:
// the slow lock if it is free, a connection, a probe, a settle or an undo. Where another process is
// at work on the domain there is nothing to do but to come again.
#include "store/operation/wait.hpp"

#include <algorithm>

#include "store/core/intent_rows.hpp"
#include "store/core/on_cancel.hpp"
#include "store/qmp/probe.hpp"

namespace xlstore {

namespace {

// While QEMU answers, looks are short and close together. While it is silent, each look holds the
// slow lock for all of its patience, so that the pauses are several times as long: who wants the
// lock gets it at once.
constexpr auto kPause = std::chrono::milliseconds(250);
constexpr auto kPauseMost = std::chrono::milliseconds(8000);
constexpr auto kPatience = std::chrono::milliseconds(250);
constexpr auto kPatienceMost = std::chrono::milliseconds(1000);
constexpr int kPausesPerPatience = 8;
constexpr auto kGoOn = std::chrono::seconds(5);

struct Attempt {
    std::string reason;     // why it stays open
    bool answered = false;  // QEMU did
};

// A change whose guest was asked to open the tray, and keeps it shut no longer.
Task<bool> tray_is_free(Engine& engine, const Intent& intent, Deadline until)
{
    if (intent.draft.verb != Verb::change || !intent.asked_us) co_return false;
    const auto found =
        co_await run_probe(engine.monitor(), intent.draft.verb, intent.draft.plan.probe, until);
    co_return found.image == Image::before && !found.tray_shut;
}

// No QEMU is left that would show what became of it: only its domain's end closes it.
Error boot_is_over(IntentId id, const DomainRow& domain)
{
    Error over(Errc::in_doubt,
               "intent " + std::to_string(value_of(id)) + " was under way when the boot of " +
                   domain.subject() + " ended, which is an older one or of another host",
               "'xlfsck -p' closes it with its domain, and keeps the document");
    over.intent = value_of(id);
    return over;
}

// One look at an open intent by the process that gets the slow lock; nothing is held when it
// returns. Errors: gone (the domain is destroyed, or being destroyed), in_doubt (its boot is over);
// of any other the intent stays open, and the next look may do better.
Task<Result<Attempt>> try_to_close(Store& store, Intent intent, Deadline until)
{
    auto domain = read_domain(store.db(), intent.domain);
    if (!domain) co_return Attempt{};
    if (domain->boot_id != store.self().boot_id) co_return boot_is_over(intent.id, *domain);
    auto hold = store.try_slow_lock(intent.domain, "wait");
    if (!hold) co_return std::move(hold).error();
    if (!*hold) co_return Attempt{"another process is at work on the domain", true};
    // The intent was read before the lock was held, and its owner may have closed it.
    auto again = read_batch(store.db(), intent.id);
    if (!again) co_return Attempt{};  // closed meanwhile
    auto engine = co_await Engine::begin_under(store, *domain, **std::move(hold), until);
    if (!engine) co_return std::move(engine).error();
    if (co_await tray_is_free(*engine, again->front(), until)) {
        // What it waited for has come: what was asked for goes on.
        auto done =
            co_await engine->ask_again(std::move(again->front()), false, Clock::now() + kGoOn);
        co_return Attempt{done ? std::string() : std::move(done).error().message, true};
    }
    auto resolved = co_await engine->resolve(*std::move(again), until);
    if (!resolved) co_return std::move(resolved).error();
    co_return Attempt{std::move(resolved->reason), resolved->resolution != Resolution::in_doubt};
}

// What went wrong with one look is the reason why the intent is open, no more than that.
Task<Result<Attempt>> look_once(Store& store, Intent intent, Deadline until)
{
    Result<Attempt> look = Attempt{};
    try {
        look = co_await try_to_close(store, std::move(intent), until);
    } catch (...) {
        look = caught();
    }
    if (look || look.error().code == Errc::gone || look.error().code == Errc::in_doubt)
        co_return look;
    co_return Attempt{std::move(look).error().message, false};
}

Error still_open(IntentId id, bool asked, const std::string& reason)
{
    Error open(Errc::in_doubt,
               "intent " + std::to_string(value_of(id)) + " is still open" +
                   (asked ? ", the guest has been asked to let go" : "") + ": " + reason,
               "wait longer (--timeout), or run 'xlstore recover'");
    open.intent = value_of(id);
    return open;
}

// Or never was. What cannot be read may be open.
bool is_closed(Store& store, IntentId id) noexcept
{
    try {
        const auto there = read_intent_subject(store.db(), id);
        return !there && there.error().code == Errc::not_found;
    } catch (const std::exception&) {
        return false;
    }
}

Task<Outcome> look_until_closed(Store& store, IntentId id, Deadline until)
{
    auto patience = std::chrono::duration_cast<Clock::duration>(kPatience);
    for (;;) {
        auto intent = read_intent(store.db(), id);
        if (!intent && intent.error().code != Errc::not_found) {
            intent.error().intent = value_of(id);
            co_return std::move(intent).error();
        }
        if (!intent) co_return outcome_of_closed(store.db(), id);
        const auto asked = intent->asked_us.has_value();
        auto look = co_await look_once(store, *std::move(intent), Clock::now() + patience);
        if (!look) {
            look.error().intent = value_of(id);
            co_return std::move(look).error();
        }
        if (!read_intent_subject(store.db(), id)) continue;
        if (Clock::now() >= until) co_return still_open(id, asked, look->reason);
        auto pause = std::chrono::duration_cast<Clock::duration>(kPause);
        if (look->answered) {
            patience = kPatience;
        } else {
            pause = std::min<Clock::duration>(kPausesPerPatience * patience, kPauseMost);
            patience = std::min<Clock::duration>(patience * 2, kPatienceMost);
        }
        (void)co_await store.loop().sleep(std::min(until, Clock::now() + pause));
    }
}

}  // namespace

// Also of one that has not begun: the intent was opened before it.
Task<Outcome> wait_for_intent(Store& store, IntentId id, Deadline until)
{
    auto given_up = [&store, id,
                     doubt = still_open(id, false, "the wait for it was cancelled")]() mutable {
        return is_closed(store, id) ? std::nullopt : std::optional<Error>(std::move(doubt));
    };
    return or_when_given_up(store, Errc::in_doubt, std::move(given_up),
                            look_until_closed(store, id, until));
}

}  // namespace xlstore
