// SPDX-License-Identifier: MIT
#include "store/database/high_rows.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <array>
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

}  // namespace

HighRows::HighRows(Db& db) : db_(db)
{
    db_.execute("CREATE TEMP TABLE IF NOT EXISTS high_row (what TEXT, text TEXT)");
    db_.execute("DELETE FROM temp.high_row");
    db_.execute("CREATE TEMP TABLE IF NOT EXISTS high_number (high INTEGER PRIMARY KEY, given)");
    set_triggers(db_, 0);
}

HighRows::~HighRows()
{
    set_triggers(db_, 1);
}

std::int64_t HighRows::lower(const std::string& table, std::int64_t given)
{
    constexpr std::array kRenumbered = {"session", "domain", "thing", "intent"};
    if (std::ranges::count(kRenumbered, table) == 0) {
        take_where(table, "id > " + std::to_string(given));
        return given;
    }
    db_.execute("DELETE FROM temp.high_number");
    db_.execute("INSERT INTO temp.high_number SELECT id, " + std::to_string(given) +
                " + row_number() OVER (ORDER BY id) FROM " + table + " WHERE id > " +
                std::to_string(given));
    renumber(table);
    return given + db_.pragma_integer("SELECT count(*) FROM temp.high_number");
}

// Rows that name one follow; the keys are checked at the commit.
void HighRows::renumber(const std::string& table)
{
    std::vector<std::pair<std::string, std::string>> naming = {{table, "id"}};
    {
        auto keys = db_.prepare(
            "SELECT t.name, k.\"from\" FROM sqlite_schema t, pragma_foreign_key_list(t.name) k "
            "WHERE t.type = 'table' AND k.\"table\" = ?1");
        keys.bind(table);
        while (keys.step())
            naming.emplace_back(keys.text(0), keys.text(1));
    }
    db_.execute("PRAGMA defer_foreign_keys = ON");
    for (const auto& [of, column] : naming)
        db_.execute("UPDATE " + of + " SET " + column +
                    " = (SELECT given FROM temp.high_number WHERE high = " + of + "." + column +
                    ") WHERE " + column + " IN (SELECT high FROM temp.high_number)");
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
    db_.execute("DROP TABLE temp.high_number");
}

}  // namespace xlstore
