// SPDX-License-Identifier: MIT
#include "store/database/high_rows.hpp"

#include <sqlite3.h>

#include <utility>
#include <vector>

#include "store/base/clock.hpp"
#include "store/database/tables.hpp"

namespace xlstore {

namespace {

void set_triggers(Db& db, int on)
{
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, on, nullptr);
}

// Tables whose rows go with those of `table`, and the column that names these.
std::vector<std::pair<std::string, std::string>> tables_below(Db& db, const std::string& table)
{
    auto rows = db.prepare(
        "SELECT t.name, k.\"from\" FROM sqlite_schema t, pragma_foreign_key_list(t.name) k WHERE "
        "t.type = 'table' AND k.\"table\" = ?1 AND k.on_delete = 'CASCADE' ORDER BY t.name");
    rows.bind(table);
    std::vector<std::pair<std::string, std::string>> below;
    while (rows.step())
        below.emplace_back(rows.text(0), rows.text(1));
    return below;
}

}  // namespace

HighRows::HighRows(Db& db) : db_(db)
{
    db_.execute("CREATE TEMP TABLE IF NOT EXISTS high_row (what TEXT, text TEXT)");
    db_.execute("DELETE FROM temp.high_row");
    set_triggers(db_, 0);
}

HighRows::~HighRows()
{
    set_triggers(db_, 1);
}

void HighRows::take(const std::string& table, std::int64_t bound)
{
    take_where(table, "id > " + std::to_string(bound));
}

void HighRows::take_where(const std::string& table, const std::string& which)
{
    for (const auto& [child, column] : tables_below(db_, table))
        take_where(child, column + " IN (SELECT id FROM " + table + " WHERE " + which + ")");
    const std::string those = " FROM " + table + " WHERE " + which;
    db_.execute("INSERT INTO temp.high_row SELECT 'row of " + table + "', " +
                row_as_json(db_, table, table) + those);
    db_.execute("DELETE" + those);
}

void HighRows::quarantine()
{
    db_.prepare(
           "INSERT INTO set_aside (at_us, what, why, text) SELECT ?, what, 'its number is far "
           "above all that were given', text FROM temp.high_row ORDER BY rowid")
        .bind(now_us())
        .run();
    db_.execute("DROP TABLE temp.high_row");
}

}  // namespace xlstore
