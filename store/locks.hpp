// SPDX-License-Identifier: MIT
// The locks of a store, and the order they are taken in.
//
//   slow lock      an incarnation's; the thing lock of qmp things (R3). Held across QMP. Only ever
//                  acquired asynchronously.
//   context lock   the embedder's own, if it has one; it tells us with context_enter/leave.
//   fast lock      an incarnation's; held for one read-modify-write of the document (R2, R6).
//   write gate     the store's; around every SQLite write transaction and checkpoint. Nothing is
//                  waited for under it.
//   destroy lock   an incarnation's; from the mark to the end of its destruction (R14). Outside the
//                  fast lock; nobody who holds it waits for a slow lock (R9).
//   session        held while a process has the store open for writing (R17).
//
// R7: slow -> context -> fast -> gate. What breaks the order is refused at run time, in every build
// (LockOrder). Fast lock, gate and destroy lock are tried, spun for briefly, then tried again on
// the loop's timer until the deadline: a stopped holder cannot freeze an embedder's loop. The slow
// lock is waited for with inotify (its file is closed by whoever releases) and a back-off timer,
// since a copied descriptor gives no event. No helper process, no thread.
//
// Two files: `slow`, so that only slow releases wake slow waiters, and `locks` for the rest.
#ifndef XLSTORE_STORE_LOCKS_HPP_
#define XLSTORE_STORE_LOCKS_HPP_

#include <optional>
#include <string>

#include "store/lock_file.hpp"
#include "store/loop.hpp"

namespace xlstore {

enum class LockKind { slow, fast, gate, destroy, session };
[[nodiscard]] std::string_view lock_name(LockKind kind) noexcept;

/// R7 at run time: what this thread is inside of. Sections and the context lock are synchronous,
/// so a count per thread is the whole truth; a slow hold belongs to an operation, not a thread.
class LockOrder {
public:
    static Result<void> may_take(LockKind kind);
    static Result<void> context_enter();
    static Result<void> context_leave();
    /// The blocking form of an operation waits for a slow lock: never inside anything.
    static Result<void> may_block();

    /// Marks a fast section or a stretch under the gate.
    class Section {
    public:
        Section() noexcept;
        Section(const Section&) = delete;
        Section& operator=(const Section&) = delete;
        ~Section();
    };
};

class Locks {
public:
    static void create(const std::string& directory, unsigned mode);
    static Result<Locks> open(const std::string& directory, bool writing);

    /// Acquires; `subject` ("domain 7 (web)") and the holder's claim stand in the error.
    /// Errors: busy at the deadline; lost (R17); order (R7). Cancelling the task gives the wait up.
    Task<Result<ByteLock>> acquire(Loop& loop, LockKind kind, std::int64_t id, Claim claim,
                                   std::string subject, Deadline until) const;
    /// One try, no wait. Nothing: somebody holds it. `claim` is written when it is given.
    Result<std::optional<ByteLock>> try_acquire(LockKind kind, std::int64_t id,
                                                const std::optional<Claim>& claim = {}) const;
    /// For a row that is being inserted: asked for under the gate, where nobody can be waiting for
    /// a lock of an id that nobody has seen, so that R7's order cannot lead to a deadlock.
    Result<std::optional<ByteLock>> try_new(LockKind kind, std::int64_t id,
                                            const Claim& claim) const;
    /// For those who only look: excludes holders, not other lookers; writes nothing.
    Result<std::optional<ByteLock>> try_shared(LockKind kind, std::int64_t id) const;
    /// Every session byte at once (R17): nobody else has the store open for writing.
    Result<std::optional<ByteLock>> try_all_sessions() const;

    Result<bool> is_held(LockKind kind, std::int64_t id) const;
    [[nodiscard]] std::optional<Claim> claim(LockKind kind, std::int64_t id) const;
    void clear_claim(LockKind kind, std::int64_t id) const;
    /// What a session says it waits for; a slot of its own, so that waiters can be listed.
    [[nodiscard]] std::optional<Claim> waiter(std::int64_t session) const;
    void set_session(std::int64_t session) noexcept { session_ = session; }

    /// R17: both files are still those that were opened.
    [[nodiscard]] bool unmoved() const;

private:
    Locks(LockFile locks, LockFile slow) : locks_(std::move(locks)), slow_(std::move(slow)) {}
    [[nodiscard]] const LockFile& file(LockKind kind) const noexcept;
    Task<Result<ByteLock>> acquire_slow(Loop& loop, std::int64_t id, Claim claim,
                                        std::string subject, Deadline until) const;
    [[nodiscard]] Error busy(LockKind kind, std::int64_t id, const std::string& subject) const;

    LockFile locks_;
    LockFile slow_;
    std::int64_t session_ = 0;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_LOCKS_HPP_
