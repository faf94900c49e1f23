// SPDX-License-Identifier: MIT
#include "tests/support/rows.hpp"

#include <sqlite3.h>

namespace xlstore::test {

RawStore::RawStore(const std::string& path)
{
    if (sqlite3_open_v2(path.c_str(), &db_,
                        path == ":memory:" ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY,
                        nullptr) != SQLITE_OK)
        fail(path);
    sqlite3_busy_timeout(db_, 5000);
}

RawStore::~RawStore()
{
    sqlite3_close(db_);
}

std::vector<Words> RawStore::rows(const std::string& query, const Words& parameters)
{
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db_, query.c_str(), -1, &statement, nullptr) != SQLITE_OK) fail(query);
    int number = 0;
    for (const auto& parameter : parameters)
        sqlite3_bind_text(statement, ++number, parameter.c_str(), -1, SQLITE_TRANSIENT);
    std::vector<Words> all;
    int rc = SQLITE_DONE;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        Words row;
        for (int i = 0; i < sqlite3_column_count(statement); ++i) {
            const auto* cell = sqlite3_column_text(statement, i);
            row.emplace_back(cell ? reinterpret_cast<const char*>(cell) : "");
        }
        all.push_back(std::move(row));
    }
    sqlite3_finalize(statement);
    if (rc != SQLITE_DONE) fail(query);
    return all;
}

void RawStore::fail(const std::string& what) const
{
    give_up("sqlite: " + std::string(sqlite3_errmsg(db_)) + ": " + what);
}

std::string first_cell(const std::vector<Words>& rows)
{
    return rows.empty() || rows[0].empty() ? std::string() : rows[0][0];
}

std::string sql(const std::string& store, const std::string& query)
{
    return first_cell(RawStore(store + "/store.db").rows(query));
}

std::string dump(const std::string& store)
{
    RawStore db(store + "/store.db");
    db.rows("BEGIN");
    std::string text;
    // Of the store, not its place, nor how often a process has written: an open for writing counts.
    db.rows(
        "CREATE TEMP VIEW lasting AS SELECT uuid, created_us, durability, history_pruned_below "
        "FROM main.store");
    for (const char* table : {"lasting", "domain", "tombstone", "document_member", "thing",
                              "product", "initial_device", "intent", "history"}) {
        text += std::string("== ") + table + "\n";
        for (const auto& row : db.rows(std::string("SELECT * FROM ") + table)) {
            for (const auto& cell : row)
                text += cell + "|";
            text += "\n";
        }
    }
    return text;
}

std::string json_at(const std::string& text, const std::string& path)
{
    return first_cell(RawStore(":memory:").rows("SELECT json_extract(?, ?)", {text, path}));
}

}  // namespace xlstore::test
