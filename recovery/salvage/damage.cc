// SPDX-License-Identifier: MIT
// Sizes first: a missing or empty store.db beside a log, or a salvage that was broken off. Then the
// log: a gap that was written to in this boot is damage, one of an older boot what a power cut
// leaves. Then a private copy is opened and SQLite's integrity check, foreign keys and the ids of
// the header are asked. Indexes that disagree with sound tables are no damage: they are made anew
// where they stand.
#include "recovery/salvage/damage.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <ctime>
#include <filesystem>

#include "recovery/salvage/damaged_database.hpp"
#include "recovery/salvage/damaged_log.hpp"
#include "recovery/salvage/integrity.hpp"
#include "recovery/salvage/told_version.hpp"
#include "store/database/db.hpp"
#include "store/database/first_look.hpp"
#include "store/database/new_database.hpp"
#include "store/database/private_copy.hpp"
#include "store/model/store_paths.hpp"

namespace xlstore::recovery {

namespace fs = std::filesystem;

namespace {

using Damage = std::optional<std::string>;

// A power cut may leave a gap in the log, and what follows it was never promised; no QEMU of that
// boot lives. A log that was written in this boot has seen none.
bool is_of_this_boot(const std::string& log)
{
    struct stat st {};
    timespec now{};
    timespec since_boot{};
    if (stat(log.c_str(), &st) != 0) return false;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    return st.st_mtim.tv_sec > now.tv_sec - since_boot.tv_sec;
}

Damage flaw_of_log(const std::string& database)
{
    const auto bytes = PrivateCopy::log_of(database);
    const DamagedLog log(bytes);
    if (log.flaw().empty() || !is_of_this_boot(database + "-wal")) return std::nullopt;
    return log.flaw();
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
    auto found = integrity_of(db);
    // Indexes are made anew where they stand.
    if (found.lines.empty() || found.indexes_alone) return std::nullopt;
    return std::move(found.lines);
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
        const auto database = StorePaths(directory).database();
        return fs::exists(database) && flaw_of_log(database);
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
        if (auto why = flaw_of_log(database)) return why;
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
