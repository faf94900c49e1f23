// SPDX-License-Identifier: MIT
// A database that went back, or was copied, made this place's store (R17;
// store/database/place.hpp).
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <thread>

#include "store/base/dated_path.hpp"
#include "store/core/history.hpp"
#include "store/core/lock_survey.hpp"
#include "store/core/store.hpp"
#include "store/database/new_database.hpp"
#include "store/model/store_paths.hpp"

namespace xlstore {

namespace {

Error in_use(const Locks& locks, const std::string& directory)
{
    std::string message = "store: " + directory + " is made this place's store by a process that has "
                          "it alone, and it is open";
    for (const char* before = ": "; const auto& holder : session_holders(locks)) {
        message += before + describe(holder);
        before = ", ";
    }
    return Error(Errc::busy, message,
                 "end these programs, and run it again; nothing was changed, and the QEMUs run on");
}

// False: not alone.
Result<bool> try_put_aside(const Locks& locks, const std::string& directory)
{
    const auto sessions = locks.try_all_sessions();
    if (!sessions) return sessions.error();
    if (!*sessions) return false;
    const auto writer = locks.try_acquire(LockKind::writer, 0);
    if (!writer) return writer.error();
    if (!*writer) return false;
    const std::string database = StorePaths(directory).database();
    if (!beside_a_log(database)) return true;  // another process was faster
    const auto kept = dated_path(StorePaths(directory).damaged_stem());
    if (rename((database + "-wal").c_str(), (kept + "-wal").c_str()) != 0)
        throw IoError(errno, "cannot rename " + database + "-wal");
    unlink((database + "-shm").c_str());
    sync_directory(directory);
    return true;
}

}  // namespace

Result<void> put_log_aside(const Locks& locks, const std::string& directory, Deadline until)
{
    for (;;) {
        const auto done = try_put_aside(locks, directory);
        if (!done) return done.error();
        if (*done) return {};
        if (Clock::now() >= until) return in_use(locks, directory);
        std::this_thread::sleep_for(kLockPoll);
    }
}

// Under the writer lock no session can be about to begin.
Result<void> Store::settle(Deadline until)
{
    for (;;) {
        std::optional<ByteLock> alone;  // until after the commit
        const auto section = [&](const WriterHold&) -> Result<bool> {
            const auto here = place_at(directory_);
            const auto seen = locks_->remembered();
            auto why = xlstore::displaced(*db_, seen, here);
            if (!why) why = displaced_;  // by the log that lay beside it
            if (!why) return true;
            auto sessions = locks_->try_all_sessions();
            if (!sessions) return sessions.error();
            if (!*sessions) return false;
            alone = std::move(*sessions);
            settle_at(*db_, seen, here);
            add_history(*db_, Author{self().pid, program()},
                        HistoryLine{{}, "settle", {}, {}, "done", {}, why->text});
            settled_ = true;
            return true;
        };
        const auto done =
            loop_->wait_for(with_writer_lock("settle", until, section, Room::reserve));
        if (!done) return done.error();
        if (*done) {
            displaced_.reset();
            return {};
        }
        if (Clock::now() >= until) return in_use(*locks_, directory_);
        std::this_thread::sleep_for(kLockPoll);
    }
}

std::optional<Displaced> Store::displacement_of(const std::string& where)
{
    const std::string directory = absolute_path(where);
    const std::string database = StorePaths(directory).database();
    struct stat st {};
    // SQLite would remove the log of an empty one.
    if (lstat(database.c_str(), &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return std::nullopt;
    const auto locks = Locks::open(directory, false);
    if (!locks) return std::nullopt;
    const auto seen = locks->remembered();
    if (auto log = beside_a_log(database)) return log;
    try {
        Db db(database, Db::Mode::read_only);
        if (db.pragma_integer("PRAGMA application_id") != schema::kApplicationId)
            return std::nullopt;
        return xlstore::displaced(db, seen, place_at(directory));
    } catch (const DbError&) {
        return std::nullopt;  // whether it can be read at all is not the question here
    }
}

}  // namespace xlstore
