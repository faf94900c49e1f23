// SPDX-License-Identifier: MIT
//   1. What an earlier try left under the same name goes. The file is written with a rollback
//      journal and synced at each commit: it has no log that would have to be renamed with it.
//   2. Tables, the caller's rows, the steps that follow them, and numbers above those of the store
//      that was there before (R17).
//   3. Its header is switched to a log, since the first process to open it would otherwise write
//      the file, and looking must not.
//   4. The rename puts it in its place. The reserve is filled then, as far as the disk goes (R21).
#include "store/database/new_database.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "schema/steps.hpp"
#include "store/base/error.hpp"
#include "store/database/displaced.hpp"
#include "store/database/tables.hpp"
#include "store/os/file_upkeep.hpp"

namespace xlstore {

namespace {

// R17: ids and commits go on above those of the store that was there before.
void reconcile_new(Db& db, const std::string& directory)
{
    Memory seen;
    if (const auto locks = Locks::open(directory, false); locks) seen = locks->remembered();
    Transaction transaction(db);
    reconcile_unplaced(db, seen, place_at(directory));  // a salvaged one may know its place
    transaction.commit();
}

}  // namespace

void make_database(const std::string& path, const std::function<void(Db&)>& fill,
                   std::int64_t version)
{
    for (const char* suffix : {"", "-journal", "-wal", "-shm"})
        unlink((path + suffix).c_str());
    {
        Db db(path, Db::Mode::create, Durability::power);
        db.execute("PRAGMA journal_mode = DELETE");
        Transaction transaction(db);
        make_tables(db, version);
        db.execute("PRAGMA application_id = " + std::to_string(schema::kApplicationId));
        fill(db);
        transaction.commit();
        upgrade_tables(db);
        reconcile_new(db, path.substr(0, path.rfind('/')));
        // The first process to open it would otherwise change the file by way of a journal, and a
        // journal that it left when it was killed is in the way of each process that looks before
        // it writes.
        db.execute("PRAGMA journal_mode = WAL");
    }
    for (const char* suffix : {"-wal", "-shm"})  // nothing was committed since
        unlink((path + suffix).c_str());
}

void install_database(const std::string& made, const std::string& database)
{
    if (renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, database.c_str(), RENAME_NOREPLACE) != 0)
        throw IoError(errno, "cannot rename " + made + " to " + database);
    // Its log and the log's index: a reader who may not write could not make them.
    Db db(database, Db::Mode::read_write);
    (void)db.fill_reserve();  // what the disk has; each later commit asks for the rest
    sync_directory(database.substr(0, database.rfind('/')));
}

}  // namespace xlstore
