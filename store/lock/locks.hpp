// SPDX-License-Identifier: MIT
// The locks of a store, and the order they are taken in.
//
//   slow lock      an incarnation's; the thing lock of qmp things (R3). Held across QMP. Only ever
//                  acquired asynchronously.
//   context lock   the embedder's own, if it has one; it tells us with context_enter/leave.
//   fast lock      an incarnation's; held for one read-modify-write of the document (R2, R6).
//   writer lock    the store's; around every SQLite write transaction and checkpoint. Nothing is
//                  waited for under it.
//   destroy lock   an incarnation's; from the mark to the end of its destruction (R14). Outside the
//                  fast lock; its holder never waits for a slow lock (R9).
//   session        held while a process has the store open for writing (R17).
//
// In which order a thread takes them: lock_order.hpp (R7).
//
// Fast lock, writer lock and destroy lock are tried, spun for briefly, then tried again on the
// loop's timer until the deadline: a stopped holder cannot freeze an embedder's loop. The slow lock
// is waited for with inotify (its file is closed at each release) and a back-off timer, since a
// copied descriptor gives no event; by one operation of a process at a time, behind which the
// others queue (slow_queue.hpp). No helper process, no thread.
//
// Two files: `slow`, so that only slow releases wake slow waiters, and `locks` for the rest.
//
// A slow lock can be broken: the kernel takes a lock from no process, so the incarnation is given
// another byte (its generation, in its slot of the file, is part of the offset), and no process
// waits for the old one any more. The old hold learns of its loss by the epoch, at its next commit
// (R15): the generation is advanced inside the transaction that advances the epoch, and a new hold
// reads the epoch first and looks then whether its byte is still the right one. So a hold of the
// old byte has either seen the new generation, or has the old epoch.
#ifndef XLSTORE_STORE_LOCK_LOCKS_HPP_
#define XLSTORE_STORE_LOCK_LOCKS_HPP_

#include <array>
#include <chrono>
#include <optional>
#include <string>

#include "store/event/loop.hpp"
#include "store/lock/lock_file.hpp"
#include "store/lock/lock_order.hpp"
#include "store/lock/slow_queue.hpp"
#include "store/model/numbers.hpp"

namespace xlstore {

/// How often a process that can do nothing else tries a lock again that another process holds.
inline constexpr auto kLockPoll = std::chrono::milliseconds(20);

class Locks {
public:
    /// Of each of the two files: an id has two slots, side by side, in both.
    static constexpr std::int64_t kBytesPerId = 2 * LockFile::kSlotBytes;

    /// Makes both files, if they are not there: 0600, also where a group may read the store. Who
    /// may open a file may take a read lock in it, and would keep every writer from the writer
    /// lock.
    static void create(const std::string& directory);
    /// Takes the group's right to open them away, which release 0.1 gave: true when it had to.
    /// REQUIRES that both are there, and are ours.
    static bool close_to_group(const std::string& directory);
    static Result<Locks> open(const std::string& directory, bool writing);

    /// Acquires; `subject` ("domain 7 (web)") and the holder stand in the error. Errors: timeout at
    /// the deadline, naming the holder by the kernel's word, for which all of /proc is read; with
    /// kOneTry busy, naming it by its claim alone, since tries may be many; lost (R17); order (R7).
    /// Cancelling the task gives the wait up.
    Task<Result<ByteLock>> acquire(Loop& loop, LockKind kind, std::int64_t id, Claim claim,
                                   std::string subject, Deadline until) const;
    /// One try, no wait. Nothing: another process holds it. `claim` is written when it is given.
    Result<std::optional<ByteLock>> try_acquire(LockKind kind, std::int64_t id,
                                                const std::optional<Claim>& claim = {},
                                                LookWhen look = LookWhen::now) const;
    /// For a row that is being inserted: asked for under the writer lock, where no process can be
    /// waiting for a lock of an id that no process has seen, so that R7's order cannot lead to a
    /// deadlock.
    Result<std::optional<ByteLock>> try_new(LockKind kind, std::int64_t id,
                                            const Claim& claim) const;
    /// For those who only look: excludes holders, not other lookers; writes nothing.
    Result<std::optional<ByteLock>> try_shared(LockKind kind, std::int64_t id) const;
    /// Every session byte at once (R17): no other process has the store open for writing.
    Result<std::optional<ByteLock>> try_all_sessions() const;

    Result<bool> is_held(LockKind kind, std::int64_t id) const
    {
        const auto held = are_held(kind, {id});
        if (!held) return held.error();
        return static_cast<bool>(held->front());
    }
    /// The same of each, in their order. @see LockFile::are_locked
    Result<std::vector<bool>> are_held(LockKind kind, const std::vector<std::int64_t>& ids) const;
    [[nodiscard]] std::optional<Claim> claim(LockKind kind, std::int64_t id) const;
    /// Who holds it, for messages: the claim, and whether that process is stopped; "" if it is not
    /// known.
    [[nodiscard]] std::string holder(LockKind kind, std::int64_t id) const;
    void clear_claim(LockKind kind, std::int64_t id) const noexcept;
    /// The slow lock that a session has waited for longest; a slot of its own, so that waiters can
    /// be listed. Of further waits only the number is told, at the end of the operation.
    [[nodiscard]] std::optional<Wait> waiter(std::int64_t session) const;
    void set_session(std::int64_t session) noexcept { session_ = session; }

    /// Gives the slow lock of `id` another byte. REQUIRES a transaction that advances the epoch and
    /// is committed after this. Error io: nothing has changed.
    Result<void> break_slow(std::int64_t id) const;
    /// Is it still current? REQUIRES that the epoch was read before.
    [[nodiscard]] bool still_current(const ByteLock& slow, std::int64_t id) const;
    /// Wakes those who wait for slow locks, so that they look again.
    void wake_slow_waiters() const;
    /// The byte of a lock, and its file: to ask the kernel who keeps it.
    [[nodiscard]] std::int64_t byte(LockKind kind, std::int64_t id) const;
    [[nodiscard]] const LockFile& file(LockKind kind) const noexcept;

    /// R17: writes down what the directory has to remember, in both files and in `spare`: they may
    /// be lost. REQUIRES the writer lock, and that `numbers` are no lower than what remembered()
    /// said under it. What cannot be written is not remembered; that harms nothing.
    void remember(const Numbers& numbers) const noexcept;
    /// The highest that one of the files has. Read it before the database, which is ahead of it.
    [[nodiscard]] Memory remembered() const;
    /// False: the files are another user's, and are looked at from outside (LockFile::may_lock).
    [[nodiscard]] bool may_lock() const noexcept { return locks_.may_lock(); }

    /// R17: both files are still those that were opened. @param names  of a look at directory()
    [[nodiscard]] bool unchanged(NamesState names) const
    {
        return locks_.in_place(names) && slow_.in_place(names);
    }
    /// The look at their directory, which all files of a store have in common.
    [[nodiscard]] DirectoryLook& directory() const noexcept { return *directory_; }

private:
    Locks(const std::string& directory, LockFile locks, LockFile slow, bool writing);
    /// The third memory, beside the lock files: both of these may be deleted. Opened when it is
    /// first used, since the first commit of a process may be what makes it, and anew when another
    /// file is in its place, as of the last look at the directory. Null: it is not there, or not to
    /// be opened.
    [[nodiscard]] const LockFile* spare() const;
    static constexpr std::size_t kMemories = 3;
    /// What a file remembers, as it was last read or written.
    struct MemoryLine {
        std::string text;
        std::optional<NumbersLine> read;
    };
    static bool read_memory(const LockFile& file, MemoryLine& last);
    class Waiting;
    void show_waits() const noexcept;
    Task<Result<ByteLock>> acquire_slow(Loop& loop, std::int64_t id, Claim claim,
                                        std::string subject, Deadline until) const;
    Task<Error> not_acquired(Loop& loop, LockKind kind, std::int64_t id, std::string subject,
                             Deadline until) const;
    [[nodiscard]] Error still_behind(std::int64_t id, const std::string& subject,
                                     std::size_t before, Deadline until) const;

    LockFile locks_;
    LockFile slow_;
    std::shared_ptr<DirectoryLook> directory_;
    std::string spare_path_;
    bool writing_;
    mutable std::optional<LockFile> spare_;
    mutable std::array<MemoryLine, kMemories> lines_;
    mutable bool wrote_lines_ = false;  // this process wrote each of them last
    std::int64_t session_ = 0;
    mutable SlowQueue queue_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_LOCK_LOCKS_HPP_
