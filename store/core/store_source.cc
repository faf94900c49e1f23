// SPDX-License-Identifier: MIT
// In this order: what the directory remembers is read before the database, which is ahead of it; a
// log of another state beside the database is put aside or omitted; a private copy is made where
// SQLite would have to make a file; then kind, version and place are read through a connection that
// writes nothing. Only a database of xlstore's own, of a version that this release knows, in its
// own place, is opened to be written to. The connection of that look is gone on with by those who
// only look, and by those who write where the file itself says that it is a store of this version:
// then nothing is set in it either.
#include "store/core/store_source.hpp"

#include <sqlite3.h>

#include "store/core/store_files.hpp"
#include "store/core/upgrade.hpp"
#include "store/database/file_header.hpp"
#include "store/database/log_flaw.hpp"
#include "store/database/tables.hpp"
#include "store/lock/foreign_lock.hpp"
#include "store/model/store_paths.hpp"
#include "store/os/file_upkeep.hpp"

namespace xlstore {

Error unusable(const std::string& database, const DbError& why)
{
    // PROTOCOL: the first to open it could not make the log's index anew for as long as SQLite
    // tries.
    const int code = why.extended_code() & 0xff;
    if (code == SQLITE_BUSY || code == SQLITE_PROTOCOL) return database_locked(database);
    Error error = error_of(why);
    error.message = "store: " + database + ": " + why.reason();
    return error;
}

namespace {

// A connection that may write would play back a journal that lies beside the file.
bool is_store_of_this_version(const std::string& database)
{
    if (file_identity(database + "-journal")) return false;
    const auto header = read_file_header(database);
    return header && header->mode == FileHeader::Mode::log &&
           header->application_id == schema::kApplicationId &&
           header->user_version == schema::newest_version();
}

// Reads only. A file that is no store of ours is refused before anything is set in it. `source`:
// the database, or a private copy of it. `connection`: what it was looked at through.
Result<DatabaseKind> check_database(const std::string& path, const std::string& source,
                                    Db::Mode mode, const Memory& seen, const Place& here,
                                    Deadline until, std::unique_ptr<Db>& connection)
{
    const auto look = [&]() -> Result<DatabaseKind> {
        connection.reset();
        connection = std::make_unique<Db>(source, mode);
        Db& db = *connection;
        const auto application = db.pragma_integer("PRAGMA application_id");
        const auto version = schema_version(db);
        if (application != schema::kApplicationId)
            return unusable("store: " + path + " is an SQLite database, but not of xlstore",
                            "name another directory with --store or XLSTORE_DIR; if it is a store "
                            "whose header was damaged, 'xlfsck -n' says so");
        if (version < 1)
            return unusable(
                "store: " + path + " has schema version " + std::to_string(version) +
                    ", which no release made: its header is damaged",
                "'xlfsck -n' says what is wrong with it, 'xlfsck -y' saves what it has");
        if (version > schema::newest_version())
            return unusable("store: " + path + " " + version_words(version),
                            "use the xlstore that made it, or a newer one");
        auto row = db.prepare("SELECT durability FROM store");
        return DatabaseKind{
            row.step() && row.text(0) == "power" ? Durability::power : Durability::process,
            version, displaced(db, seen, here)};
    };
    try {
        return while_busy(until, look);
    } catch (const DbError& e) {
        return unusable(path, e);
    }
}

}  // namespace

Source::Source(const std::string& directory, Db::Mode mode, bool reconcile)
    : database(StorePaths(directory).database()),
      path(database),
      looking_mode(mode == Db::Mode::read_write ? Db::Mode::read_only : mode),
      directory_(directory),
      mode_(mode),
      reconcile_(reconcile)
{}

Result<DatabaseKind> Source::choose(const Locks& locks, Deadline until)
{
    const auto seen = locks.remembered();  // before the database, which is ahead of it
    const auto here = place_at(directory_);
    if (auto log = beside_a_log(database))
        if (auto ok = pass_log(*std::move(log), locks, until); !ok) return ok.error();
    // A process that has it open has made both; without them SQLite would make one. A log with a
    // wrong header it does not pass without making the index anew.
    if (mode_ == Db::Mode::untouched && !copy &&
        (!file_identity(database + "-wal") || !file_identity(database + "-shm") ||
         has_unread_log(database)))
        if (auto ok = read_a_copy(); !ok) return ok.error();
    identity = file_identity(database);
    const bool ours = writes() && !reconcile_ && is_store_of_this_version(database);
    auto kind = check_database(database, path, ours ? Db::Mode::read_write : looking_mode, seen,
                               here, until, connection);
    if (!kind) return kind;
    if (writes() && !ours) connection.reset();
    // The log is read for it where the numbers say that there is a reason (R17), or cannot say.
    const bool may_lack =
        kind->displaced ? kind->displaced->why == Displaced::Why::older : kind->is_older();
    if (writes() && may_lack)
        if (const auto flaw = flaw_of_log(database)) return log_error(directory_, *flaw);
    if (writes() && !reconcile_ && kind->displaced)
        return displaced_error(directory_, *kind->displaced);
    if (writes() && kind->displaced && kept_log.empty()) {
        auto kept = keep_unread_log(locks, directory_, until);
        if (!kept) return std::move(kept).error();
        kept_log = *std::move(kept);
    }
    if (!displaced) displaced = kind->displaced;
    if (kind->is_older() && !writes())
        if (auto ok = look_at_older(kind->version); !ok) return ok.error();
    return kind;
}

Result<void> Source::read_a_copy()
{
    auto made = PrivateCopy::make(database);
    if (!made) return std::move(made).error();
    copy = *std::move(made);
    path = copy->database();
    looking_mode = Db::Mode::read_only;
    return {};
}

// The log of another state beside it: put aside, or omitted of what is read.
Result<void> Source::pass_log(Displaced why, const Locks& locks, Deadline until)
{
    if (writes() && !reconcile_) return displaced_error(directory_, why);
    displaced = std::move(why);
    if (writes()) {
        auto kept = put_log_aside(locks, directory_, until);
        if (!kept) return std::move(kept).error();
        kept_log = *std::move(kept);
        return {};
    }
    if (auto ok = read_a_copy(); !ok) return ok;
    remove_file(path, "-wal");
    return {};
}

Result<void> Source::look_at_older(std::int64_t version)
{
    connection.reset();
    if (mode_ == Db::Mode::read_only)
        return unusable("store: " + database + " " + version_words(version),
                        "run 'xlstore upgrade', or any command that writes");
    if (!copy)
        if (auto ok = read_a_copy(); !ok) return ok;
    return upgrade_copy(*copy);
}

}  // namespace xlstore
