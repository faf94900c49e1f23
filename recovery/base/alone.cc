// SPDX-License-Identifier: MIT
// Session bytes first, then the writer lock: a process that opens the store takes them the other
// way round, under the writer lock, and one try of each waits for none. So two of these programs
// cannot hold one lock each for ever.
#include "recovery/base/alone.hpp"

#include <unistd.h>

#include <algorithm>
#include <thread>

#include "store/lock/session_holders.hpp"

namespace xlstore::recovery {

namespace {

Error in_the_way(const Locks& locks)
{
    const auto own = [](const LockHolder& holder) { return holder.pid == getpid(); };
    const auto holders = session_holders(locks);
    if (!holders.empty() && std::ranges::all_of(holders, own))
        return Error(Errc::busy, "this process itself has the store open",
                     "close its handles of the store first");
    return Error(Errc::busy, "another process has the store open" + and_session_holders(locks),
                 "end these processes; the QEMUs run on");
}

// Error busy: not now.
Result<Alone> try_once(const std::string& directory)
{
    auto locks = Locks::open(directory, true);
    if (!locks) return std::move(locks).error();
    auto sessions = locks->try_all_sessions();
    if (!sessions) return std::move(sessions).error();
    if (!*sessions) return in_the_way(*locks);
    auto writer = locks->try_acquire(LockKind::writer, 0);
    if (!writer) return std::move(writer).error();
    if (!*writer) return in_the_way(*locks);
    return Alone{*std::move(locks), **std::move(writer), **std::move(sessions)};
}

}  // namespace

Result<Alone> be_alone(const std::string& directory, Deadline until)
{
    for (;;) {
        auto alone = try_once(directory);
        if (alone || alone.error().code != Errc::busy || Clock::now() >= until) return alone;
        std::this_thread::sleep_for(kLockPoll);
    }
}

Result<ByteLock> take_writer_lock(const Locks& locks, Deadline until)
{
    for (;;) {
        auto writer = locks.try_acquire(LockKind::writer, 0);
        if (!writer) return std::move(writer).error();
        if (*writer) return **std::move(writer);
        if (Clock::now() >= until)
            return Error(Errc::timeout,
                         "store: its writer lock is held: " + locks.holder(LockKind::writer, 0),
                         "wait for it, or end that process, and run it again");
        std::this_thread::sleep_for(kLockPoll);
    }
}

}  // namespace xlstore::recovery
