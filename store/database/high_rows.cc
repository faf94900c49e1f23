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
    db_.execute("CREATE TEMP TABLE IF NOT EXISTS named_number (id INTEGER PRIMARY KEY)");
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
    take_missing(table, given);
    renumber(table);
    return std::max(given, db_.pragma_integer("SELECT max(given) FROM temp.high_number"));
}

// The columns of other tables that have the number of a row of `table`: foreign keys, or all.
std::vector<HighRows::Column> HighRows::naming(const std::string& table, bool all)
{
    std::vector<Column> columns;
    auto keys = db_.prepare(
        "SELECT t.name, k.\"from\" FROM sqlite_schema t, pragma_foreign_key_list(t.name) k "
        "WHERE t.type = 'table' AND k.\"table\" = ?1 "
        "UNION ALL SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c "
        "WHERE t.type = 'table' AND t.name IN ('history', 'set_aside', 'undo_row', 'undo_mark') "
        "AND c.name = ?1 AND ?2");
    keys.bind(table).bind(std::int64_t{all});
    while (keys.step())
        columns.emplace_back(keys.text(0), keys.text(1));
    return columns;
}

// Where there is one such row, which none names, and other rows name one number that no row has, it
// is that row's.
void HighRows::take_missing(const std::string& table, std::int64_t given)
{
    if (table != "domain" && table != "thing") return;
    db_.execute("DELETE FROM temp.named_number");
    for (const auto& [of, column] : naming(table, false))
        db_.execute("INSERT OR IGNORE INTO temp.named_number SELECT " + column + " FROM " + of +
                    " WHERE " + column + " IS NOT NULL AND (" + column + " > " +
                    std::to_string(given) + " OR " + column + " NOT IN (SELECT id FROM " + table +
                    "))");
    db_.execute(
        "UPDATE temp.high_number SET given = (SELECT id FROM temp.named_number) "
        "WHERE (SELECT count(*) FROM temp.high_number) = 1 "
        "AND (SELECT count(*) = 1 AND max(id) BETWEEN 1 AND " +
        std::to_string(given) + " FROM temp.named_number)");
}

// Rows that name one follow; the keys are checked at the commit.
void HighRows::renumber(const std::string& table)
{
    auto columns = naming(table, true);
    columns.emplace_back(table, "id");
    db_.execute("PRAGMA defer_foreign_keys = ON");
    for (const auto& [of, column] : columns)
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
    db_.execute("DROP TABLE temp.named_number");
}

}  // namespace xlstore
