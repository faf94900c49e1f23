// SPDX-License-Identifier: MIT
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
        // The first process to open it would otherwise change the file by way of a journal, and a journal
        // that it left when it was killed is in the way of everybody who looks before writing.
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
