// SPDX-License-Identifier: MIT
// The one engine that every operation on a qmp thing goes through (DESIGN 3):
//
//   slow lock; connect, prove the peer, barrier       Engine::begin          R3 R7 R11 R12 R15
//   an open intent on this key is resolved first      Engine::make_way
//   probe; commit 1; plan; probe; commit 2            Engine::operate        R16 R4 R8 R10 R5 R6
//   disconnect, release                               ~Engine
//
// Three outcomes, never two. Done: a value. Not done: an Error, and QEMU and store are as they were
// (a drive may have been emptied: the error says so). In doubt: Errc::in_doubt; the entry and the
// intent stay, and the error carries the intent's number.
//
// Bounds (R20): `until` is one absolute deadline for an operation. Past it only this goes on: 2.5 s
// for undoing and for the last look at QEMU, and up to 5 s, counted from `until` as well, for the
// commit that says what was seen. What is not found out by then is in doubt.
//
// Cancelling (destroying the task) before commit 1 changes nothing; after it the intent stays open
// for the next operation on that key, or for recovery. A commit 2 that fails is doubt as well.
#ifndef XLSTORE_STORE_ENGINE_HPP_
#define XLSTORE_STORE_ENGINE_HPP_

#include <string>
#include <vector>

#include "store/domain.hpp"
#include "store/intent.hpp"
#include "store/journal.hpp"
#include "store/qmp/monitor.hpp"
#include "store/store.hpp"

namespace xlstore {

/// What became of an intent that somebody left open.
enum class Resolution {
    done,      ///< the thing is as the intent wanted it: settled
    undone,    ///< it is as it was before: settled
    emptied,   ///< the drive is empty: settled
    waits,     ///< the guest has been asked to let go and still has it: open
    stuck,     ///< some of it is there and could not be taken out: open
    in_doubt,  ///< nothing is proved: open
};
struct Resolved {
    Resolution resolution;
    std::string reason;
    [[nodiscard]] bool open() const noexcept { return resolution >= Resolution::waits; }
};

/// The guest has been asked to let go of one of their devices (to remove it, or to undo an add),
/// and has it yet: nothing is settled before it did, or said no.
[[nodiscard]] bool waits_for_guest(const std::vector<Intent>& intents, const Evidence& found);
/// It does, and there are others that the guest was never asked for: waiting alone would not end
/// it.
[[nodiscard]] bool has_more_to_ask(const std::vector<Intent>& intents, const Evidence& found);

/// What the plans of `intents` (one, or a batch) make together: a batch is settled as one.
[[nodiscard]] Probe probe_of(const std::vector<Intent>& intents);

/// Done, and on what evidence.
struct Done {
    std::vector<IntentId> intents;  ///< in the order of the drafts
    std::string evidence;
};

/// Operations on one domain under one slow hold and one connection.
class Engine {
public:
    /// Acquires the slow lock and connects. Errors: busy, gone, no_qemu, refused, protocol, lost.
    static Task<Result<Engine>> begin(Store& store, DomainRow domain, std::string operation,
                                      Deadline until);
    /// With a slow hold that is there already (creation, recovery).
    static Task<Result<Engine>> begin_under(Store& store, DomainRow domain, SlowHold hold,
                                            Deadline until);
    /// Over a connection that is there already (creation, right after the barrier).
    Engine(Store& store, DomainRow domain, SlowHold hold, qmp::Monitor monitor);

    /// Settles an open intent, or a whole batch (read_batch), with what QEMU shows, undoing what it
    /// left half done: of a batch all is there in the end, or none. Errors: gone, lost, busy.
    Task<Result<Resolved>> resolve(std::vector<Intent> intents, Deadline until);
    /// The whole of an operation, from its probe to its settle. Several drafts (adds of different
    /// things only) are all done or none: what was done is undone backwards when one fails.
    Task<Result<Done>> operate(std::vector<Draft> drafts, Deadline until);
    Task<Result<Done>> operate(Draft draft, Deadline until);
    /// A removal whose guest was asked and has not let go: asks again, by the same intent.
    Task<Result<Done>> ask_again(Intent intent, Deadline until);
    /// Resolves the open intent on `thing`, if there is one. Error in_doubt when it stays open.
    Task<Result<void>> make_way(ThingName thing, Deadline until);
    /// Connects anew if the connection broke and the hold was not lost meanwhile (R15). Errors as
    /// of begin().
    Task<Result<void>> stay_connected(Deadline until);

    [[nodiscard]] const DomainRow& domain() const noexcept { return domain_; }
    [[nodiscard]] SlowHold& hold() noexcept { return hold_; }
    [[nodiscard]] qmp::Monitor& monitor() noexcept { return monitor_; }
    [[nodiscard]] Journal& journal() noexcept { return journal_; }
    /// Gives the hold back, for what has to be done after the connection.
    [[nodiscard]] SlowHold take_hold() && { return std::move(hold_); }

private:
    struct Carried;
    enum class Unplug { gone, waits, refused, unknown };
    struct Asking;
    struct Undoing;
    Task<Result<void>> check_before(Draft& draft, Deadline until);
    Task<Result<void>> check_before_add(const Draft& draft, Deadline until);
    Task<Carried> carry_out(std::vector<IntentId> intents, const Draft& whole,
                            const std::vector<Fd>& files, std::vector<Product> asked,
                            Deadline until);
    Task<Addresses> ask_where(const std::vector<Intent>& intents, Deadline until);
    Task<Evidence> clear_up(Verb verb, const Probe& probe, Evidence evidence, Asking& asking,
                            Deadline until);
    Task<Result<void>> take_out(const std::vector<Product>& products, Asking& asking,
                                Deadline until);
    Task<Result<qmp::Reply>> send(Command command, Deadline until, int file_descriptor);
    Task<std::string> take_back(std::vector<Undoing>& undoing, Asking& asking, Deadline until);
    Task<Result<void>> undo(Command command, Asking& asking, Deadline until);
    Task<Result<void>> note_asked(Product device, Asking& asking, Deadline until);
    Task<Result<void>> await_guest(Asking& asking, Deadline until);
    /// Waits for the guest until `patience`; `until` is the operation's deadline.
    Task<Unplug> watch_unplug(Product device, Deadline patience, Deadline until);
    Task<Result<Done>> conclude(std::vector<IntentId> intents, Verb verb, Carried carried,
                                Deadline until);

    Store* store_;
    Journal journal_;
    DomainRow domain_;
    SlowHold hold_;
    qmp::Monitor monitor_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_ENGINE_HPP_
