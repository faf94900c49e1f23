// SPDX-License-Identifier: MIT
//   1. SQLite says which keys of which tables name missing rows.
//   2. A key that may be NULL is set to NULL. The session of an intent is made anew as a dead one,
//      since an intent must not be lost for its owner's row. Any other row is copied to quarantine
//      as JSON, with those that go with it, and deleted.
//   3. Again, because other rows may have named one that is gone now; not for ever, because a
//      damaged schema could make it endless.
#include "recovery/salvage/dangling_rows.hpp"

#include <sqlite3.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "schema/steps.hpp"
#include "store/base/clock.hpp"
#include "store/database/tables.hpp"

namespace xlstore::recovery {

namespace {

constexpr int kRounds = 8;  // a row that is set aside may have been named by others

// One foreign key of a table that has one column, as all of the store's have.
struct ForeignKey {
    std::string table;
    std::string column;
    std::string parent;
    std::string parent_column;
    bool may_be_null = false;

    [[nodiscard]] std::string dangling() const
    {
        return column + " IS NOT NULL AND NOT EXISTS (SELECT 1 FROM " + parent + " p WHERE p." +
               parent_column + " = " + table + "." + column + ")";
    }
};

std::vector<ForeignKey> broken_keys(Db& db)
{
    std::set<std::pair<std::string, std::int64_t>> broken;
    auto rows = db.prepare("PRAGMA foreign_key_check");
    while (rows.step())
        broken.emplace(rows.text(0), rows.integer(3));
    std::vector<ForeignKey> keys;
    for (const auto& [table, id] : broken) {
        auto found = db.prepare(
            "SELECT \"from\", \"table\", coalesce(\"to\", 'id'), on_delete = 'SET NULL' "
            "FROM pragma_foreign_key_list(?) WHERE id = ?");
        found.bind(table).bind(id);
        while (found.step())
            keys.push_back({table, found.text(0), found.text(1), found.text(2),
                            found.integer(3) != 0});
    }
    return keys;
}

// Rows of `table`, and those that SQLite deletes with them (R22).
void copy_to_quarantine(Db& db, const std::string& table, const std::string& which,
                        const std::string& why)
{
    for (const auto& [child, column] : tables_below(db, table))
        copy_to_quarantine(db, child,
                           column + " IN (SELECT id FROM " + table + " WHERE " + which + ")", why);
    const bool of_domain =
        db.prepare("SELECT 1 FROM pragma_table_info(?) WHERE name = 'domain'").bind(table).step();
    db.execute("INSERT INTO set_aside (at_us, domain, what, why, text) SELECT " +
               std::to_string(now_us()) + ", " + (of_domain ? "domain" : "NULL") + ", 'row of " +
               table + "', '" + why + "', " + row_as_json(db, table, table) + " FROM " + table +
               " WHERE " + which);
}

void mend(Db& db, const ForeignKey& key)
{
    if (key.may_be_null) {
        db.execute("UPDATE " + key.table + " SET " + key.column + " = NULL WHERE " +
                   key.dangling());
        return;
    }
    if (key.table == "intent" && key.parent == "session") {
        // By a new number: the one that the row has may be damaged, and far above all (R17).
        db.execute(
            "INSERT INTO session (pid, start_time, pid_namespace, boot_id, program, opened_us, "
            "schema) VALUES (0, 0, 0, '', 'lost', 0, " +
            std::to_string(schema::newest_version()) + ")");
        db.execute("UPDATE intent SET owner = (SELECT max(id) FROM session) WHERE " +
                   key.dangling());
        return;
    }
    copy_to_quarantine(db, key.table, key.dangling(), "it names a missing row of " + key.parent);
    db.execute("DELETE FROM " + key.table + " WHERE " + key.dangling());
}

}  // namespace

Result<void> mend_dangling_rows(Db& db)
{
    try {
        for (int round = 0; round < kRounds; ++round) {
            const auto keys = broken_keys(db);
            if (keys.empty()) return {};
            for (const auto& key : keys)
                mend(db, key);
        }
    } catch (const DbError& e) {
        if ((e.extended_code() & 0xff) != SQLITE_CONSTRAINT) throw;
        return Error(Errc::store, e.reason());
    }
    return Error(Errc::store, "a row names a missing one all the same");
}

}  // namespace xlstore::recovery
