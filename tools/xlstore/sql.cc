// SPDX-License-Identifier: MIT
// sql: a read-only query, opened the way a store has to be opened, with a time limit: an endless
// reader would make the log grow.
#include <sqlite3.h>

#include <cstdio>
#include <iostream>
#include <iterator>

#include "store/json_text.hpp"
#include "store/limits.hpp"
#include "tools/xlstore/verbs.hpp"

namespace xlstore::tools {

namespace {

constexpr int kStepsBetweenLooks = 10'000;

std::string cell(sqlite3_stmt* row, int column)
{
    const auto* bytes = sqlite3_column_text(row, column);
    return bytes ? std::string(reinterpret_cast<const char*>(bytes),
                               static_cast<std::size_t>(sqlite3_column_bytes(row, column)))
                 : std::string();
}

std::string json_cell(sqlite3_stmt* row, int column)
{
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_NULL:
        return "null";
    case SQLITE_INTEGER:
    case SQLITE_FLOAT:
        return cell(row, column);
    default:
        return json_quote(cell(row, column));
    }
}

}  // namespace

Result<Status> run_sql(const Arguments& arguments)
{
    const std::string query = arguments.words.empty()
                                  ? std::string(std::istreambuf_iterator<char>(std::cin), {})
                                  : arguments.words[0];
    auto store = open_to_look(arguments);
    if (!store) return store.error();
    sqlite3* db = (*store)->db().handle();
    Deadline until = arguments.until(limits::operation_timeout);
    sqlite3_progress_handler(
        db, kStepsBetweenLooks,
        [](void* deadline) { return Clock::now() >= *static_cast<Deadline*>(deadline) ? 1 : 0; },
        &until);
    const auto failed = [&] {
        const bool late = sqlite3_errcode(db) == SQLITE_INTERRUPT;
        return Error(Errc::invalid,
                     std::string("sql: ") +
                         (late ? "the query ran into its time limit" : sqlite3_errmsg(db)),
                     late ? "give more with --timeout"
                          : "schema/README.md shows what can be asked; nothing can be changed");
    };
    std::string json = "[";
    const char* rest = query.c_str();
    while (*rest) {
        sqlite3_stmt* statement = nullptr;
        if (sqlite3_prepare_v2(db, rest, -1, &statement, &rest) != SQLITE_OK) return failed();
        if (!statement) continue;  // white space or a comment
        const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> owner(statement,
                                                                          sqlite3_finalize);
        const int columns = sqlite3_column_count(statement);
        int rc = SQLITE_ROW;
        while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
            std::string line;
            for (int i = 0; i < columns; ++i) {
                if (arguments.json) {
                    line += (i ? "," : "") + json_quote(sqlite3_column_name(statement, i)) + ":" +
                            json_cell(statement, i);
                } else {
                    line += (i ? "|" : "") + cell(statement, i);
                }
            }
            if (arguments.json)
                json += (json.size() > 1 ? ",{" : "{") + line + "}";
            else
                std::puts(line.c_str());
        }
        if (rc != SQLITE_DONE) return failed();
    }
    if (arguments.json) std::puts((json + "]").c_str());
    return Status::done;
}

}  // namespace xlstore::tools
