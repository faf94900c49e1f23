// SPDX-License-Identifier: MIT
// Sizes first: a missing or empty store.db beside a log, or a salvage that was broken off. Then the
// log: a wrong header is damage, and so is a gap that was written to in this boot; one of an older
// boot is what a power cut leaves. Then a private copy is opened and SQLite's integrity check,
// foreign keys and the ids of the header are asked. Indexes that disagree with sound tables are no
// damage: they are made anew where they stand.
#include "recovery/salvage/damage.hpp"

#include <sqlite3.h>

#include <filesystem>

#include "recovery/salvage/header_version.hpp"
#include "recovery/salvage/integrity.hpp"
#include "store/database/db.hpp"
#include "store/database/first_look.hpp"
#include "store/database/log_flaw.hpp"
#include "store/database/private_copy.hpp"
#include "store/database/store_numbers.hpp"
#include "store/database/tables.hpp"
#include "store/lock/locks.hpp"
#include "store/model/store_paths.hpp"

namespace xlstore::recovery {

namespace fs = std::filesystem;

namespace {

using Damage = std::optional<std::string>;

// R17. A commit that was cut off leaves frames behind the last one that counts, too.
bool reads_what_was_seen(const std::string& directory)
{
    const auto locks = Locks::open(directory, false);
    if (!locks) return false;
    const auto seen = locks->remembered();
    if (seen.foreign || seen.numbers.commits == 0) return false;
    try {
        const auto copy = PrivateCopy::make(StorePaths(directory).database());
        if (!copy) return false;
        Db db((*copy)->database(), Db::Mode::read_only);
        return counts_commits(db) && read_numbers(db).commits >= seen.numbers.commits;
    } catch (const DbError&) {
        return false;
    }
}

Damage damage_of_log(const std::string& directory)
{
    auto flaw = flaw_of_log(StorePaths(directory).database());
    if (flaw && reads_what_was_seen(directory)) flaw.reset();
    return flaw;
}

// What the sizes say.
Damage missing(const std::string& directory)
{
    const std::string database = StorePaths(directory).database();
    if (was_broken_off(directory))
        return "there is no store.db: saving what is in store.db.saving was broken off";
    if (check_before_opening(directory)) return std::nullopt;
    return fs::exists(database) ? "it is empty" : "there is no store.db, and its log is there";
}

Damage damage_in(Db& db)
{
    if (auto wrong = wrong_ids(db)) return wrong;
    (void)db.pragma_integer("SELECT count(*) FROM store");
    if (const auto table = table_without_column(db); !table.empty())
        return "the text of table " + table + " in the schema was overwritten";
    auto found = integrity_of(db);
    // Indexes are made anew where they stand.
    if (!found.lines.empty() && !found.indexes_alone) return std::move(found.lines);
    return wrong_page_size(db);
}

}  // namespace

bool was_broken_off(const std::string& directory)
{
    const StorePaths paths(directory);
    return !fs::exists(paths.database()) && fs::exists(paths.being_saved());
}

Result<bool> is_unsafe_to_open(const std::string& directory)
{
    try {
        if (missing(directory)) return true;
        return fs::exists(StorePaths(directory).database()) && damage_of_log(directory);
    } catch (const IoError& e) {
        return Error(Errc::io, std::string("store: ") + e.what());
    }
}

Result<std::optional<std::string>> damage_of(const std::string& directory)
{
    const std::string database = StorePaths(directory).database();
    try {
        if (auto why = missing(directory)) return why;
        if (!fs::exists(database)) return Damage();
        if (auto why = damage_of_log(directory)) return why;
        const auto copy = PrivateCopy::make(database);
        if (!copy) return copy.error();
        // Read-only, SQLite would not even read the checks of its columns.
        Db db((*copy)->database(), Db::Mode::read_write);
        db.call_it(database);
        return damage_in(db);
    } catch (const DbError& e) {
        if (is_damage(e)) return Damage(words_of_sqlite(e.reason()));
        return error_of(e);
    } catch (const IoError& e) {
        return Error(Errc::io, std::string("store: ") + e.what());
    }
}

std::optional<std::string> damage_met(const std::string& directory, const DbError& error)
{
    if (is_damage(error)) return words_of_sqlite(error.reason());
    if ((error.extended_code() & 0xff) != SQLITE_ERROR) return std::nullopt;
    auto seen = damage_of(directory);
    return seen ? *std::move(seen) : std::nullopt;
}

std::optional<std::string> seen_again(Check& check, const std::string& directory,
                                      const std::string& first)
{
    auto again = damage_of(directory);
    if (again && *again) return *std::move(again);
    const auto second = again ? "a second look over a fresh connection found nothing wrong"
                              : "a second look failed: " + again.error().message;
    check.report(Code::database_unseen,
                 Subject{StorePaths(directory).database(), first + "; " + second});
    return std::nullopt;
}

}  // namespace xlstore::recovery
