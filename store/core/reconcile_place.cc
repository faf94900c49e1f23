// SPDX-License-Identifier: MIT
// A database that went back, or was copied, made this place's store (R17;
// store/database/displaced.hpp).
#include <sys/stat.h>

#include <thread>

#include "schema/steps.hpp"
#include "store/core/history.hpp"
#include "store/core/store.hpp"
#include "store/model/store_paths.hpp"

namespace xlstore {

// Under the writer lock no session can be about to begin.
Result<void> Store::reconcile_place(Deadline until)
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
            xlstore::reconcile_place(*db_, seen, here);
            add_history(*db_, Author{self().pid, program()},
                        HistoryLine{{}, "settle", {}, {}, "done", {}, why->text});
            counts_commits_ = true;
            return true;
        };
        const auto done =
            loop_->wait_for(with_writer_lock("settle", until, section, Room::reserve));
        if (!done) return done.error();
        if (*done) {
            displaced_.reset();
            return {};
        }
        if (Clock::now() >= until) return displaced_in_use(*locks_, directory_);
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
