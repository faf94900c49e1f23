// SPDX-License-Identifier: MIT
#include "recovery/salvage/table_checks.hpp"

#include <sqlite3.h>

#include <algorithm>

#include "schema/steps.hpp"
#include "store/database/tables.hpp"

namespace xlstore::recovery {

namespace {

constexpr std::string_view kCheck = "CHECK";

// Past the comment or the word in quotes that begins at `at`; `at`: none does.
std::size_t past_no_code(std::string_view sql, std::size_t at)
{
    const bool is_comment = sql.substr(at).starts_with("--");
    if (!is_comment && sql[at] != '\'' && sql[at] != '"') return at;
    const auto end = is_comment ? sql.find('\n', at) : sql.find(sql[at], at + 1);
    return end == std::string_view::npos ? sql.size() : end + 1;
}

// Behind the bracket that closes the one at `at`.
std::size_t past_brackets(std::string_view sql, std::size_t at)
{
    int depth = 0;
    while (at < sql.size()) {
        if (const auto past = past_no_code(sql, at); past != at) {
            at = past;
            continue;
        }
        if (sql[at] == '(') ++depth;
        if (sql[at] == ')') --depth;
        ++at;
        if (depth == 0) break;
    }
    return at;
}

std::vector<TableCheck> checks_in_objects()
{
    std::vector<TableCheck> checks;
    for (const auto& object : schema::objects())
        if (object.type == "table")
            std::ranges::move(checks_in(object.name, object.sql), std::back_inserter(checks));
    return checks;
}

int add_line(void* lines, int, char** values, char**)
{
    static_cast<std::vector<std::string>*>(lines)->emplace_back(values[0]);
    return 0;
}

}  // namespace

std::vector<TableCheck> checks_in(std::string_view table, std::string_view sql)
{
    std::vector<TableCheck> checks;
    for (std::size_t at = 0; at < sql.size();) {
        if (const auto past = past_no_code(sql, at); past != at) {
            at = past;
            continue;
        }
        const auto open = sql.find_first_not_of(" \n", at + kCheck.size());
        if (!sql.substr(at).starts_with(kCheck) || open == std::string_view::npos ||
            sql[open] != '(') {
            ++at;
            continue;
        }
        at = past_brackets(sql, open);
        checks.push_back({std::string(table), std::string(sql.substr(open, at - open))});
    }
    return checks;
}

std::vector<TableCheck> checks_of_version(std::int64_t version)
{
    if (version == schema::newest_version()) return checks_in_objects();
    Db model(":memory:", Db::Mode::create, Durability::process, "store.db");
    make_tables(model, version);
    std::vector<TableCheck> checks;
    auto tables = model.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table'");
    while (tables.step())
        std::ranges::move(checks_in(tables.text(0), tables.text(1)), std::back_inserter(checks));
    return checks;
}

std::vector<std::string> failed_checks(Db& db)
{
    const auto version = schema_version(db);
    if (version < 1 || version > schema::newest_version()) return {};
    std::string query;
    std::string table;
    for (const auto& check : checks_of_version(version)) {
        if (check.table == table)
            query += " OR NOT ";
        else
            query += (table.empty() ? "SELECT 'CHECK constraint failed in "
                                    : " UNION ALL SELECT 'CHECK constraint failed in ") +
                     check.table + "' FROM " + check.table + " NOT INDEXED WHERE NOT ";
        query += check.condition;
        table = check.table;
    }
    query += " LIMIT 100";
    std::vector<std::string> lines;
    if (sqlite3_exec(db.handle(), query.c_str(), add_line, &lines, nullptr) != SQLITE_OK)
        db.fail("cannot read it");
    return lines;
}

}  // namespace xlstore::recovery
