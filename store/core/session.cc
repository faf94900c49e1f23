// SPDX-License-Identifier: MIT
// What an open store writes about itself: its session, its place, and the count of its commits.
#include <sqlite3.h>
#include <unistd.h>

#include "schema/steps.hpp"
#include "store/base/clock.hpp"
#include "store/core/store.hpp"
#include "store/database/low_numbers.hpp"
#include "store/database/store_numbers.hpp"
#include "store/database/tables.hpp"
#include "store/model/store_paths.hpp"

namespace xlstore {

namespace {

constexpr auto kCloseTimeout = std::chrono::milliseconds(200);

}  // namespace

// REQUIRES the writer lock. The byte is taken before the commit: a row that can be seen is held by
// a living session. R17: a program that replaces the database holds every session byte, and we do
// not get in.
Result<std::int64_t> Store::begin_session(const Place& here, std::optional<ByteLock>& lock)
{
    // While it has no session, a newer release may upgrade it.
    if (const auto version = schema_version(*db_); version != schema::newest_version())
        return Error(Errc::store, "store: " + directory_ + " " + version_words(version),
                     "use the xlstore that upgraded it, or a newer one");
    if (const auto why = xlstore::displaced(*db_, locks_->remembered(), here))
        return displaced_error(directory_, *why);
    refuse_high_numbers(*db_);
    counts_commits_ = true;
    write_place(*db_, here);
    db_->prepare(
           "INSERT INTO session (pid, start_time, pid_namespace, boot_id, program, uid, "
           "opened_us, schema) "
           "VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(self_.pid)
        .bind(static_cast<std::int64_t>(self_.start_time))
        .bind(static_cast<std::int64_t>(self_.pid_namespace))
        .bind(self_.boot_id)
        .bind(program_)
        .bind(static_cast<std::int64_t>(getuid()))
        .bind(now_us())
        .bind(schema::newest_version())
        .run();
    if (db_->changes() != 1)
        throw DbError(SQLITE_CONSTRAINT_TRIGGER,
                      "database " + db_->called() +
                          ": a trigger that is not the store's keeps the row of this session out");
    const auto id = db_->last_insert_id();
    auto held = locks_->try_new(LockKind::session, id, make_claim("open"));
    if (!held) return held.error();
    if (!*held)
        return Error(Errc::busy, "store: " + directory_ + " is being repaired by another program",
                     "wait for it to finish");
    lock = *std::move(held);
    return id;
}

Result<void> Store::open_session(Deadline until)
{
    std::optional<ByteLock> lock;
    const auto here = place_at(directory_);
    // From the reserve, since what comes next may be a destruction.
    auto opened = loop_->wait_for(with_writer_lock(
        "open", until, [&](const WriterHold&) { return begin_session(here, lock); },
        Room::reserve));
    if (!opened) return opened.error();
    session_id_ = *opened;
    session_lock_ = std::move(lock);
    locks_->set_session(session_id_);
    // Both are there by now, and stay: no user of the database removes them while it is open.
    const StorePaths paths(directory_);
    wal_.emplace(paths.log(), file_identity(paths.log()));
    wal_index_.emplace(paths.log_index(), file_identity(paths.log_index()));
    return {};
}

// REQUIRES an open write transaction. Nothing: it changes no row, or is not this place's store yet.
// R17: also what was opened as this place's store may be set back meanwhile, by the shell of SQLite
// (".restore", or an UPDATE of sqlite_sequence). Nothing is committed on top of that.
Result<std::optional<Numbers>> Store::counted(std::int64_t changes_before)
{
    if (!counts_commits_ || db_->total_changes() == changes_before) return std::optional<Numbers>();
    const auto seen = locks_->remembered();
    auto numbers = count_commit(*db_);
    if (!seen.foreign && numbers.commits <= seen.numbers.commits)
        return displaced_error(directory_, went_back(numbers.commits - 1, seen));
    if (auto wrong = wrong_numbers(numbers, seen)) return *std::move(wrong);
    // What the directory remembers stays where it is higher: a hand may have set ours back.
    if (!seen.foreign) numbers.raise_to(seen.numbers);
    return std::optional<Numbers>(numbers);
}

Store::~Store()
{
    if (session_id_ == 0 || fork_generation_ != fork_generation()) return;
    try {
        // While an open intent names its owner the row stays; recovery removes it.
        const auto section = [&](const WriterHold&) -> Result<void> {
            db_->prepare(
                   "DELETE FROM session WHERE id = ?1 AND NOT EXISTS "
                   "(SELECT 1 FROM intent WHERE owner = ?1)")
                .bind(session_id_)
                .run();
            return {};
        };
        (void)loop_->wait_for(
            with_writer_lock("close", Clock::now() + kCloseTimeout, section, Room::reserve));
    } catch (...) {
        // A row of a dead session is harmless, and recovery removes it.
    }
}

}  // namespace xlstore
