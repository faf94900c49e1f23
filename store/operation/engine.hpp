// SPDX-License-Identifier: MIT
// The one engine that every operation on a qmp thing goes through (DESIGN.md, One attach):
//
//   slow lock (libxl's companions of it, where libxl owns the monitor);
//   connect, prove the peer, barrier                  Engine::begin      R3 R7 R11 R12 R15
//   an open intent on this key is resolved first      Engine::resolve_pending   (pending.cc)
//   probe; commit 1; plan; probe; commit 2            Engine::operate    R16 R4 R8 R10 R5 R6
//   disconnect, release                               ~Engine
//
// The plan between the commits is a PlanRunner's (plan_runner.hpp).
//
// Three outcomes, never two (R18). Done: a value. Not done: an Error, and QEMU and store are as
// they were (a drive may have been emptied: the error says so). In doubt: Errc::in_doubt; the entry
// and the intent stay, and the error carries the intent's number. What fails after commit 1,
// exceptions and a lack of memory included, is in doubt unless it is proved otherwise; only a
// domain that is destroyed meanwhile ends it as gone, since its QEMU and its document go, too.
//
// A request that finds an older intent open, and wants the same, takes it for its own: done when it
// is found done, in doubt with its number when it stays open. Another's is resolved first, and
// named in a refusal when it stays open.
//
// Bounds (R20): `until` is one absolute deadline for an operation. Past it only this goes on: 2.5 s
// for undoing and for the last look at QEMU, and up to 5 s, counted from `until` as well, for the
// commit that says what was seen. What is not found out by then is in doubt.
//
// Cancelling (destroying the task) before commit 1 changes nothing of its own; after it the intent
// stays open for the next operation on that key, or for recovery, and its number is left with the
// store (store/core/on_cancel.hpp). So is the number of an older intent that is being resolved.
// What was changed of earlier plans by then is said: with_earlier_changes().
#ifndef XLSTORE_STORE_OPERATION_ENGINE_HPP_
#define XLSTORE_STORE_OPERATION_ENGINE_HPP_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store/core/domain.hpp"
#include "store/core/journal.hpp"
#include "store/core/on_cancel.hpp"
#include "store/core/store.hpp"
#include "store/model/intent.hpp"
#include "store/operation/asked.hpp"
#include "store/operation/held_qemu.hpp"
#include "store/operation/outcome.hpp"
#include "store/operation/resolution.hpp"

namespace xlstore {

struct PlanResult;
struct OpenIntents;

/// Operations on one domain under one slow hold and one connection.
class Engine {
public:
    /// What becomes of an intent that waits for its guest to open a tray.
    enum class Tray { waited_for, given_up };

    /// Acquires the slow lock and connects; `ahead`: what is going to be asked of QEMU first, as
    /// far as that is known. Errors: timeout, gone, no_qemu, refused, protocol, lost.
    static Task<Result<Engine>> begin(Store& store, DomainRow domain, std::string operation,
                                      std::vector<qmp::Question> ahead, Deadline until);
    /// With a slow hold that is there already (creation, recovery).
    static Task<Result<Engine>> begin_under(Store& store, DomainRow domain, SlowHold hold,
                                            Deadline until);
    /// Over a connection that is there already (creation, right after the barrier).
    explicit Engine(HeldQemu qemu);

    /// Settles an open intent, or a whole batch (read_batch), with what QEMU shows, undoing what it
    /// left half done: of a batch all is there in the end, or none. Errors: gone, lost, timeout.
    /// Cancelled after its first look: in doubt, with the number.
    /// An intent that waits for its guest to open a tray stays open, or, when another request is to
    /// take its place (given_up), is closed as not done: the medium is where it was.
    Task<Result<Resolved>> resolve(std::vector<Intent> intents, Deadline until,
                                   Tray tray = Tray::waited_for);
    /// The whole of an operation, from its probe to its settle. Several drafts (adds of different
    /// things only) are all done or none: what was done is undone backwards when one fails.
    Task<Outcome> operate(std::vector<Draft> drafts, Deadline until);
    Task<Outcome> operate(Draft draft, Deadline until);
    /// What stands before each commit 1 (R16): an add finds nothing of its thing in QEMU, a removal
    /// and a change find what the entry says, and the draft's plan follows what is left to do.
    /// Errors, with nothing changed but what an earlier plan of an add had left: exists, refused,
    /// protocol, timeout.
    Task<Result<void>> check_before(Draft& draft, Deadline until);
    /// Is all that `draft` adds there already, by a present entry of the very same element? Then
    /// what the probe saw of it. Changes nothing.
    Task<std::optional<std::string>> is_there(Draft draft, Deadline until);
    /// A removal whose guest was asked and has not let go, or a change whose guest was asked to
    /// open the tray: asks again, by the same intent, or (force) opens the tray without asking.
    Task<Outcome> ask_again(Intent intent, bool force, Deadline until);
    /// Resolves the open intents on what is wanted. Nothing: the way is free. Done: an older
    /// request for the same was found done, or has been finished now. Errors: in_doubt, with the
    /// number of an older request for the same; refused, naming another's that stays open; gone,
    /// lost, timeout. `wanted` must outlive the task.
    Task<std::optional<Outcome>> resolve_pending(const std::vector<Draft>& wanted, Deadline until);
    /// What is done before commit 1 to what earlier plans have left, and stays done if this
    /// operation comes to nothing: for with_earlier_changes().
    void note_change(const std::string& what);
    void note_settled(IntentId earlier, const ThingName& thing);
    void forget_changes() noexcept { changes_.clear(); }
    /// As the end of a message; "": there is none.
    [[nodiscard]] const std::string& changes() const noexcept { return changes_; }
    /// Into the message of `error`, whose advice then no longer says that nothing was changed.
    void say_changes(Error& error) const;
    /// @see HeldQemu::stay_connected
    Task<Result<void>> stay_connected(Deadline until) { return qemu_.stay_connected(until); }

    [[nodiscard]] const DomainRow& domain() const noexcept { return qemu_.domain(); }
    [[nodiscard]] Store& store() noexcept { return qemu_.store(); }
    [[nodiscard]] SlowHold& hold() noexcept { return qemu_.hold(); }
    [[nodiscard]] libxl::HostHold& beside() noexcept { return qemu_.beside(); }
    [[nodiscard]] qmp::Monitor& monitor() noexcept { return qemu_.monitor(); }
    [[nodiscard]] Journal& journal() noexcept { return qemu_.journal(); }

private:
    Task<Result<void>> check_before_add(const Draft& draft, Deadline until);
    Task<void> query_addresses_of(std::vector<Intent>& added, Deadline until);
    Task<Outcome> run_and_settle(OpenIntents& open, const std::vector<Fd>& files, Deadline until);
    Task<Outcome> ask_once_more(OpenIntents& open, bool force, Deadline until);
    Task<Outcome> conclude(OpenIntents& open, PlanResult result, Deadline until);
    Errc code_of_unproved(Deadline until);
    Error refused(const OpenIntents& open, const PlanResult& result) const;
    Outcome closed_by_another(const OpenIntents& open);
    Task<Result<Resolved>> leave_open(const std::vector<Intent>& intents, Resolution why,
                                      const Evidence& found, Deadline until);
    Task<Result<Resolved>> resolve_found(std::vector<Intent> intents, Evidence found,
                                         Deadline until);
    Task<Result<Resolved>> settle_found(std::vector<Intent> intents, Evidence found,
                                        Deadline until);
    Task<std::optional<Outcome>> take_over(const std::vector<Draft>& wanted,
                                           std::vector<Intent> unit, Deadline until);

    HeldQemu qemu_;
    std::string changes_;
};

/// What one operation of `engine` says that fails or is cancelled: with what it had changed by then
/// of earlier plans. What a part of `work` has left with the store stays. `engine` has to outlive
/// it.
template <class T>
Task<Result<T>> with_earlier_changes(Engine& engine, Task<Result<T>> work)
{
    engine.forget_changes();
    const auto given_up = [&engine]() -> std::optional<Error> {
        auto left = engine.store().take_left_answer();
        if (!left && !engine.changes().empty())
            left.emplace(Errc::cancelled, engine.domain().subject() +
                                              ": it was cancelled before its first commit" +
                                              engine.changes());
        return left;
    };
    auto done =
        co_await or_when_cancelled(engine.store(), Errc::cancelled, given_up, std::move(work));
    if (!done) engine.say_changes(done.error());
    co_return done;
}

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_ENGINE_HPP_
