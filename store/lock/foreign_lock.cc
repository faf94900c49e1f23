// SPDX-License-Identifier: MIT
// SQLite locks bytes of two files: of the log's index those of its writer, checkpointer and
// recovery, of the database those of its rollback modes, where readers' shared locks do not count.
// A program that does not know the writer lock is found by these, and named.
#include "store/lock/foreign_lock.hpp"

#include <algorithm>
#include <vector>

#include "store/lock/lock_holders.hpp"

namespace xlstore {

namespace {

// By SQLite's file format. In the index of the log (-shm): who writes, checkpoints, or makes the
// index anew. A read lock there keeps writers out as well.
constexpr LockedBytes kIndexBytes{120, 122, false};
// In the database: who has it to itself (locking_mode=EXCLUSIVE). Each connection has a read lock.
constexpr LockedBytes kDatabaseBytes{0x40000000, 0x40000000 + 511, true};

Error kept_locked(const std::string& database, const std::vector<LockHolder>& holders)
{
    const std::string who = holders.empty() ? "a process that is not shown to this user"
                                            : describe(holders);
    return Error(
        Errc::timeout,
        "database " + database + " was locked all the time by " + who +
            ", without the store's writer lock; nothing was changed",
        "end that program or its transaction, then try again; to read, use 'xlstore sql' or "
        "'sqlite3 -readonly', which keep no writer out");
}

}  // namespace

Task<Error> database_locked(Loop& loop, std::string database)
{
    std::vector<LockHolder> all;
    for (const bool of_index : {true, false}) {
        const std::string path = of_index ? database + "-shm" : database;
        const auto file = file_identity(path);
        if (!file) continue;
        const LockedBytes bytes = of_index ? kIndexBytes : kDatabaseBytes;
        const auto found = co_await find_lock_holders(loop, path, *file, bytes);
        for (const auto& holder : found)
            if (std::ranges::find(all, holder.pid, &LockHolder::pid) == all.end())
                all.push_back(holder);
    }
    co_return kept_locked(database, all);
}

Error database_locked(const std::string& database)
{
    Loop loop;
    return loop.wait_for(database_locked(loop, database));
}

}  // namespace xlstore
