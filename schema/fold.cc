// SPDX-License-Identifier: MIT
// Run while building: takes all steps in a database in memory, and prints, as C++, the objects that
// come of it. A new store is made of these at once, and compared with them: twenty steps, of which
// many alter tables, take ten times as long.
#include <sqlite3.h>

#include <iostream>
#include <string>

#include "schema/steps.hpp"

namespace {

constexpr const char* kObjects =
    "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND "
    "name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY CASE type WHEN 'table' THEN 1 "
    "WHEN 'index' THEN 2 WHEN 'view' THEN 3 ELSE 4 END, rowid";

int fail(sqlite3* db, const std::string& what)
{
    std::cerr << "schema: " << what << ": " << sqlite3_errmsg(db) << "\n";
    return 1;
}

}  // namespace

int main()
{
    sqlite3* db = nullptr;
    if (sqlite3_open(":memory:", &db) != SQLITE_OK) return fail(db, "in memory");
    for (const auto& step : xlstore::schema::steps())
        if (sqlite3_exec(db, std::string(step.sql).c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
            return fail(db, std::string(step.name));
    sqlite3_stmt* objects = nullptr;
    if (sqlite3_prepare_v2(db, kObjects, -1, &objects, nullptr) != SQLITE_OK)
        return fail(db, "what came of them");
    const auto text = [&](int column) {
        return std::string(reinterpret_cast<const char*>(sqlite3_column_text(objects, column)));
    };
    std::cout << "// Made from schema/*.sql by schema/fold.cc.\n#include \"schema/steps.hpp\"\n\n"
                 "namespace xlstore::schema {\n\nnamespace {\nconstexpr Object kObjects[] = {\n";
    while (sqlite3_step(objects) == SQLITE_ROW)
        std::cout << "    {\"" << text(0) << "\", \"" << text(1) << "\", R\"~~~(" << text(2)
                  << ")~~~\"},\n";
    std::cout << "};\n}  // namespace\n\nstd::span<const Object> objects() { return kObjects; }\n\n"
                 "}  // namespace xlstore::schema\n";
    sqlite3_finalize(objects);
    sqlite3_close(db);
    return std::cout.flush() ? 0 : 1;
}
