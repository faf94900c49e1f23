// SPDX-License-Identifier: MIT
// Bars, each of which would do for what it is meant against: the authorizer lets only reading
// actions and telling pragmas through; each statement has to be one that SQLite itself calls
// read-only; a progress handler ends a query at its deadline, and when SQLite has more memory than
// a query may take; values, statements and rows have limits in length; functions that could run for
// ever without a step of SQLite's are bounded themselves (query_functions.hpp). What a single step
// does besides (sorting, PRAGMA integrity_check) is not broken off. All statements of one call run
// in one read transaction, and so see one moment.
#include "store/database/query.hpp"

#include <sqlite3.h>

#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "store/base/limits.hpp"
#include "store/database/query_functions.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

// Each step may make a value of the longest kind.
constexpr int kStepsBetweenLooks = 100;

// What reads, and nothing else: no transaction is begun or ended, no file attached, no setting
// changed. Pragmas that tell of the schema or check the database may be asked.
int only_reading(void*, int action, const char* name, const char* argument, const char*,
                 const char*)
{
    switch (action) {
    case SQLITE_FUNCTION:
        return is_unbounded_function(argument) ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    case SQLITE_PRAGMA: {
        const std::string_view pragma(name);
        const bool tells = pragma.starts_with("table_") || pragma.starts_with("index_") ||
                           pragma == "foreign_key_list" || pragma.ends_with("_check");
        return !argument || tells ? SQLITE_OK : SQLITE_DENY;
    }
    // SQLite asks so when a table-valued function (json_each, pragma_table_info) declares its
    // columns; a statement that would really write is refused as one that does not only read.
    case SQLITE_UPDATE:
        return std::string_view(name) == "sqlite_master" ? SQLITE_OK : SQLITE_DENY;
    default:
        return SQLITE_DENY;
    }
}

// The limits of a connection, in force for as long as a query runs.
class Lengths {
public:
    explicit Lengths(sqlite3* db) : db_(db)
    {
        for (auto& [which, value] : limits_)
            value = sqlite3_limit(db_, which, value);
    }
    Lengths(const Lengths&) = delete;
    Lengths& operator=(const Lengths&) = delete;
    ~Lengths()
    {
        for (const auto& [which, value] : limits_)
            sqlite3_limit(db_, which, value);
    }

private:
    sqlite3* db_;
    std::array<std::pair<int, int>, 3> limits_{
        {{SQLITE_LIMIT_LENGTH, limits::query_value_bytes_max},
         {SQLITE_LIMIT_SQL_LENGTH, limits::query_text_bytes_max},
         {SQLITE_LIMIT_COLUMN, limits::query_columns_max}}};
};

// What keeps a query within its bounds, for as long as it runs.
class Restricted {
public:
    Restricted(Db& db, Deadline until)
        : db_(db.handle()),
          until_(until),
          memory_most_(sqlite3_memory_used() + limits::query_memory_bytes_max),
          lengths_(db_),
          functions_(until_)
    {
        db.bound_functions();
        sqlite3_set_authorizer(db_, only_reading, nullptr);
        sqlite3_progress_handler(
            db_, kStepsBetweenLooks,
            [](void* self) { return static_cast<Restricted*>(self)->is_over() ? 1 : 0; }, this);
    }
    Restricted(const Restricted&) = delete;
    Restricted& operator=(const Restricted&) = delete;
    ~Restricted()
    {
        sqlite3_set_authorizer(db_, nullptr, nullptr);
        sqlite3_progress_handler(db_, 0, nullptr, nullptr);
    }
    /// Was it ended for its memory?
    [[nodiscard]] bool took_too_much() const noexcept { return took_too_much_; }

private:
    bool is_over() noexcept
    {
        took_too_much_ = sqlite3_memory_used() > memory_most_;
        return took_too_much_ || Clock::now() >= until_;
    }

    sqlite3* db_;
    Deadline until_;
    std::int64_t memory_most_;
    Lengths lengths_;
    FunctionsEnd functions_;
    bool took_too_much_ = false;
};

QueryCell cell_of(sqlite3_stmt* row, int column)
{
    const int type = sqlite3_column_type(row, column);
    if (type == SQLITE_NULL) return {};
    const auto* bytes = sqlite3_column_text(row, column);
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(row, column));
    return QueryCell{bytes ? std::string(reinterpret_cast<const char*>(bytes), size) : "",
                     type == SQLITE_INTEGER || type == SQLITE_FLOAT};
}

Error only_reading_allowed(const char* why)
{
    return Error(Errc::invalid, std::string("sql: ") + why,
                 "only reading is allowed; xlstore.db(5) shows what can be asked");
}

// Throws what is not the query's fault: the database is damaged, the disk fails.
Error failed(const Db& database, const Restricted& restricted)
{
    sqlite3* const db = database.handle();
    switch (sqlite3_errcode(db)) {
    case SQLITE_INTERRUPT:
        if (restricted.took_too_much())
            return Error(Errc::refused,
                         "sql: the query took more memory than " +
                             std::to_string(limits::query_memory_bytes_max >> 20) + " MiB",
                         "ask for less at once, for instance with LIMIT");
        return Error(Errc::timeout, "sql: the query ran into its time limit",
                     "give it more time, or ask for less");
    case SQLITE_TOOBIG:
        return Error(Errc::refused,
                     std::string("sql: ") + sqlite3_errmsg(db) + ": a value has at most " +
                         std::to_string(limits::query_value_bytes_max >> 20) +
                         " MiB, and a statement " +
                         std::to_string(limits::query_text_bytes_max >> 10) + " KiB",
                     "ask for less at once, and give long values as parameters");
    case SQLITE_AUTH:
        return only_reading_allowed(sqlite3_errmsg(db));
    case SQLITE_ERROR:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
        return Error(Errc::invalid, std::string("sql: ") + sqlite3_errmsg(db),
                     "xlstore.db(5) shows what can be asked; if that is not there, 'xlfsck -n' "
                     "says what is wrong with the store");
    default:
        database.fail("cannot run the query");
    }
}

}  // namespace

Result<void> run_query(Db& db, const std::string& sql,
                       const std::vector<std::optional<std::string>>& parameters, Deadline until,
                       const QueryRow& row)
{
    const ReadTransaction snapshot(db);
    Restricted restricted(db, until);
    const char* rest = sql.c_str();
    while (*rest) {
        sqlite3_stmt* prepared = nullptr;
        if (sqlite3_prepare_v2(db.handle(), rest, -1, &prepared, &rest) != SQLITE_OK)
            return failed(db, restricted);
        if (!prepared) continue;  // white space or a comment
        const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(prepared,
                                                                              sqlite3_finalize);
        if (!sqlite3_stmt_readonly(prepared)) return only_reading_allowed("it would write");
        int number = 0;
        for (const auto& value : parameters)
            if (++number <= sqlite3_bind_parameter_count(prepared) && value)
                sqlite3_bind_text(prepared, number, value->data(), static_cast<int>(value->size()),
                                  SQLITE_STATIC);
        std::vector<std::string> names;
        names.reserve(static_cast<std::size_t>(sqlite3_column_count(prepared)));
        for (int i = 0; i < sqlite3_column_count(prepared); ++i)
            names.emplace_back(sqlite3_column_name(prepared, i));
        int rc = SQLITE_ROW;
        while ((rc = sqlite3_step(prepared)) == SQLITE_ROW) {
            std::vector<QueryCell> cells;
            cells.reserve(names.size());
            for (int i = 0; i < static_cast<int>(names.size()); ++i)
                cells.push_back(cell_of(prepared, i));
            if (!row(names, cells)) return {};
        }
        if (rc != SQLITE_DONE) return failed(db, restricted);
    }
    return {};
}

std::string cell_json(const QueryCell& cell)
{
    if (!cell.text) return "null";
    if (!cell.number) return json_quote(*cell.text);
    return cell.text->ends_with("Inf") ? "null" : *cell.text;
}

std::string row_json(const std::vector<std::string>& names, const std::vector<QueryCell>& cells)
{
    std::vector<std::pair<std::string, std::string>> members;
    for (std::size_t i = 0; i < names.size(); ++i)
        members.emplace_back(names[i], cell_json(cells[i]));
    return json_object(members);
}

}  // namespace xlstore
