// SPDX-License-Identifier: MIT
#include "store/wait.hpp"

#include <algorithm>

namespace xlstore {

namespace {

constexpr auto kPoll = std::chrono::milliseconds(250);
constexpr auto kLook = std::chrono::seconds(5);  // a look holds the slow lock: never for long

Result<Done> closed_intent(Db& db, IntentId id)
{
    const auto number = std::to_string(value_of(id));
    auto row = db.prepare(
                     "SELECT outcome, evidence FROM history WHERE intent = ? "
                     "ORDER BY id DESC LIMIT 1")
                   .bind(value_of(id));
    if (!row.step())
        return Error(Errc::not_found, "there is no intent " + number + " in the store",
                     "it never was, or its history has been pruned");
    if (row.text(0) != "done")
        return Error(Errc::refused, "intent " + number + " was closed as not done: " + row.text(1));
    return Done{std::vector<IntentId>(1, id), row.text(1)};
}

// One look at an open intent by whoever gets the slow lock; the reason when it stays open.
Task<Result<std::string>> try_to_close(Store& store, Intent intent, Deadline until)
{
    auto domain = read_domain(store.db(), intent.domain);
    if (!domain) co_return std::string();
    auto hold = store.try_slow_lock(intent.domain, "wait");
    if (!hold) co_return std::move(hold).error();
    if (!*hold) co_return std::string("somebody is at work on the domain");
    auto again = read_batch(store.db(), intent.id);
    if (!again) co_return std::string();  // closed meanwhile
    auto engine = co_await Engine::begin_under(store, *domain, **std::move(hold), until);
    if (!engine) co_return engine.error().message;
    auto resolved = co_await engine->resolve(*std::move(again), until);
    if (!resolved) co_return std::move(resolved).error();
    co_return resolved->reason;
}

}  // namespace

Task<Result<Done>> wait_for_intent(Store& store, IntentId id, Deadline until)
{
    for (;;) {
        auto intent = read_intent(store.db(), id);
        if (!intent && intent.error().code != Errc::not_found) co_return std::move(intent).error();
        if (!intent) co_return closed_intent(store.db(), id);
        const auto asked = intent->asked_us.has_value();
        auto reason = co_await try_to_close(store, *std::move(intent), Clock::now() + kLook);
        if (!reason) co_return std::move(reason).error();
        if (!read_intent(store.db(), id)) continue;
        if (Clock::now() >= until) {
            Error open(Errc::in_doubt,
                       "intent " + std::to_string(value_of(id)) + " is still open" +
                           (asked ? ", the guest has been asked to let go" : "") + ": " + *reason,
                       "wait longer (--timeout), or run 'xlstore recover'");
            open.intent = value_of(id);
            co_return open;
        }
        (void)co_await store.loop().sleep(std::min(until, Clock::now() + kPoll));
    }
}

}  // namespace xlstore
