// SPDX-License-Identifier: MIT
// status and query: rows of the fleet's database, in a transaction that may
// only read.
#include <cstdio>

#include "tools/common/table.hpp"
#include "tools/fleet/database.hpp"
#include "tools/fleet/rows.hpp"
#include "tools/fleet/verbs.hpp"

namespace xlstore::fleet {

namespace {

// As a JSON array, which PostgreSQL makes. A comment at the end does not take the
// bracket along.
std::string as_json(const std::string& sql)
{
    return "SELECT coalesce(json_agg(row_to_json(answer)), '[]')::text FROM (" + sql + "\n) answer";
}

std::string without_end(std::string sql)
{
    while (!sql.empty() &&
           (sql.back() == ';' || std::isspace(static_cast<unsigned char>(sql.back()))))
        sql.pop_back();
    return sql;
}

}  // namespace

Result<Status> print_query(const Arguments& arguments, const std::string& sql)
{
    auto database = open_fleet(arguments.database);
    if (!database) return database.error();
    auto done = in_transaction(**database, "query", [&](pqxx::work& work) -> Result<void> {
        work.exec0("SET TRANSACTION READ ONLY");
        // Sent with parameters, even with none, PostgreSQL takes one statement and
        // no more: a second could end the transaction, or let it write.
        if (arguments.json) {
            std::puts(work.exec_params1(as_json(without_end(sql)))[0].c_str());
            return {};
        }
        const auto rows = work.exec_params(sql);
        std::vector<std::string> head;
        for (pqxx::row::size_type i = 0; i < rows.columns(); ++i)
            head.emplace_back(rows.column_name(i));
        std::vector<std::vector<std::string>> cells;
        for (const auto& row : rows) {
            auto& line = cells.emplace_back();
            for (const auto& field : row)
                line.push_back(field.is_null() ? "-" : tools::plain(field.c_str()));
        }
        tools::print_table(head, cells);
        return {};
    });
    if (!done) return done.error();
    return Status::done;
}

Result<Status> run_query(const Arguments& arguments)
{
    return print_query(arguments, arguments.words[0]);
}

Result<Status> run_status(const Arguments& arguments)
{
    return print_query(arguments,
                       "SELECT host, health, date_trunc('second', last_seen) AS last_seen, "
                       "generation, as_of_commit, behind, domains, open_intents, gaps, program "
                       "FROM fleet.hosts ORDER BY host");
}

}  // namespace xlstore::fleet
