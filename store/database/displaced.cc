// SPDX-License-Identifier: MIT
// Compared are, in this order: the machine, by machine id, unless the boot is the same; the
// directory, by inode, birth time, and within one boot the device; whether the lock files, which
// remember numbers for the directory, are the directory's own; and the count of commits against the
// highest that it has seen. The first that does not fit is the reason that is told. A database in
// rollback mode beside a log came out of a backup, which is found by two bytes of its header before
// SQLite may delete that log.
#include "store/database/displaced.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <thread>

#include "store/base/dated_path.hpp"
#include "store/database/file_header.hpp"
#include "store/database/log_flaw.hpp"
#include "store/database/original.hpp"
#include "store/database/private_copy.hpp"
#include "store/database/store_numbers.hpp"
#include "store/database/tables.hpp"
#include "store/lock/session_holders.hpp"
#include "store/model/store_paths.hpp"
#include "store/os/file_upkeep.hpp"

namespace xlstore {

namespace {

std::optional<Displaced> not_here(const Place& written, const Place& here)
{
    // The same kernel is the same machine, also where a container has another machine id.
    const bool other = written.boot_id != here.boot_id && !written.machine.empty() &&
                       !here.machine.empty() && written.machine != here.machine;
    if (other)
        return Displaced{Displaced::Why::other_machine,
                         "it is the database of another machine, of machine id " +
                             written.machine + ", where it was in " + written.directory,
                         {}};
    if (is_same_directory(written, here)) return std::nullopt;
    auto original = original_of(written, here);
    std::string text = written.directory == here.directory
                           ? "its files were copied into this directory, which is not the one that "
                             "it was in before"
                           : "it is a copy of the store in " + written.directory;
    if (original.empty())
        text += written.directory == here.directory ? "" : ", which is gone from there";
    else
        text += original == written.directory ? ", which is there still"
                                              : ", which is " + original + " now";
    return Displaced{Displaced::Why::copied, std::move(text), std::move(original)};
}

Displaced is_older(std::string has, const Memory& seen)
{
    return Displaced{Displaced::Why::older,
                     "its database has " + has + ", and this directory has seen " +
                         std::to_string(seen.numbers.commits) +
                         ": an older copy was put back, or its log was lost",
                     {}};
}

using KeepLog = std::string (*)(const std::string& directory);

// Under all session bytes and the writer lock; nothing: not alone.
Result<std::optional<std::string>> try_to_keep(const Locks& locks, const std::string& directory,
                                               KeepLog keep)
{
    const auto sessions = locks.try_all_sessions();
    if (!sessions) return sessions.error();
    if (!*sessions) return std::optional<std::string>();
    const auto writer = locks.try_acquire(LockKind::writer, 0);
    if (!writer) return writer.error();
    if (!*writer) return std::optional<std::string>();
    return std::optional(keep(directory));
}

Result<std::string> keep_alone(const Locks& locks, const std::string& directory, Deadline until,
                               KeepLog keep)
{
    for (;;) {
        auto kept = try_to_keep(locks, directory, keep);
        if (!kept) return std::move(kept).error();
        if (*kept) return **std::move(kept);
        if (Clock::now() >= until) return displaced_in_use(locks, directory);
        std::this_thread::sleep_for(kLockPoll);
    }
}

std::string rename_log(const std::string& directory)
{
    const std::string database = StorePaths(directory).database();
    if (!beside_a_log(database)) return {};  // another process was faster
    auto kept = dated_path(StorePaths(directory).damaged_stem()) + "-wal";
    if (rename((database + "-wal").c_str(), kept.c_str()) != 0)
        throw IoError(errno, "cannot rename " + database + "-wal");
    unlink((database + "-shm").c_str());
    sync_directory(directory);
    return kept;
}

std::string copy_unread_log(const std::string& directory)
{
    const std::string database = StorePaths(directory).database();
    if (!may_have_lost_commits(database)) return {};
    auto kept = dated_path(StorePaths(directory).damaged_stem()) + "-wal";
    PrivateCopy::copy_log(database, kept);
    sync_directory(directory);
    return kept;
}

// Which numbers the place that it comes from gave since, is not known here. What is under way is
// that of an older state: it is found out about by looking alone (R19).
void go_on_above(Db& db, const Memory& seen, const Place& here)
{
    const auto written = read_place(db);
    const bool is_elsewhere = written && not_here(*written, here);
    raise_numbers(db, seen, is_elsewhere ? Loss::unknown : Loss::counted);
    db.execute("UPDATE intent SET older_state = 1 WHERE older_state = 0");
    db.execute("UPDATE domain SET older_state = 1 WHERE state = 'creating' AND older_state = 0");
}

}  // namespace

std::optional<Displaced> displaced(Db& db, const Memory& seen, const Place& here)
{
    if (!counts_commits(db)) {
        if (seen.numbers.commits == 0) return std::nullopt;
        return is_older("schema version " + std::to_string(schema_version(db)) +
                            ", which counts no commits",
                        seen);
    }
    const auto written = read_place(db);
    if (written)
        if (auto other = not_here(*written, here)) return other;
    if (seen.foreign)
        return Displaced{Displaced::Why::older,
                         "its lock files were put back, too, and with them what this directory "
                         "remembers: how old the database is, is not known",
                         {}};
    const auto commits = read_numbers(db).commits;
    if (commits >= seen.numbers.commits) return std::nullopt;
    return went_back(commits, seen);
}

Displaced went_back(std::int64_t commits, const Memory& seen)
{
    return is_older(std::to_string(commits) + " commits", seen);
}

std::optional<Displaced> beside_a_log(const std::string& database)
{
    struct stat log {};
    if (lstat((database + "-wal").c_str(), &log) != 0 || log.st_size == 0) return std::nullopt;
    const auto header = read_file_header(database);
    // What cannot be read is not looked at here.
    if (!header || header->mode != FileHeader::Mode::journal) return std::nullopt;
    return Displaced{Displaced::Why::beside_a_log,
                     "its database came out of a backup, and the log of another state lies beside "
                     "it",
                     {}};
}

Error displaced_error(const std::string& directory, const Displaced& why)
{
    std::string advice =
        why.original.empty()
            ? "nothing was changed, and it can be looked at; 'xlfsck -p' makes it this place's "
              "store where that is safe, and says what to do where it is not"
            : "work on that one; this one can be looked at";
    return Error(Errc::store, "store: " + directory + ": " + why.text, std::move(advice));
}

Error displaced_in_use(const Locks& locks, const std::string& directory)
{
    return Error(Errc::busy,
                 "store: " + directory +
                     " becomes this place's store only while no other process "
                     "has it open, and it is open" +
                     and_session_holders(locks),
                 "end these programs, and run it again; nothing was changed, and the QEMUs run on");
}

Result<std::string> put_log_aside(const Locks& locks, const std::string& directory, Deadline until)
{
    return keep_alone(locks, directory, until, rename_log);
}

Result<std::string> keep_unread_log(const Locks& locks, const std::string& directory,
                                    Deadline until)
{
    return keep_alone(locks, directory, until, copy_unread_log);
}

void reconcile_place(Db& db, const Memory& seen, const Place& here)
{
    go_on_above(db, seen, here);
    write_place(db, here);
}

void reconcile_unplaced(Db& db, const Memory& seen, const Place& here)
{
    go_on_above(db, seen, here);
    if (!read_place(db)) write_place(db, here);
}

}  // namespace xlstore
