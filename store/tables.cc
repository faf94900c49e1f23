// SPDX-License-Identifier: MIT
#include "store/tables.hpp"

#include <map>
#include <optional>

#include "schema/steps.hpp"

namespace xlstore {

namespace {

struct SchemaObject {
    std::string type;
    std::string sql;
};

std::map<std::string, SchemaObject> objects_of(Db& db)
{
    auto rows = db.prepare(
        "SELECT name, type, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'");
    std::map<std::string, SchemaObject> objects;
    while (rows.step())
        objects.emplace(rows.text(0), SchemaObject{rows.text(1), rows.text(2)});
    return objects;
}

}  // namespace

void make_tables(Db& db)
{
    std::size_t version = 0;
    for (const auto& step : schema::steps()) {
        db.execute(std::string(step.sql));
        db.execute("PRAGMA user_version = " + std::to_string(++version));
    }
}

std::vector<SchemaFlaw> schema_flaws(Db& db)
{
    Db model(":memory:", Db::Mode::create);
    make_tables(model);
    const auto wanted = objects_of(model);
    auto there = objects_of(db);
    std::vector<SchemaFlaw> flaws;
    for (const auto& [name, object] : wanted) {
        const auto found = there.extract(name);
        const bool same = !found.empty() && found.mapped().type == object.type;
        if (same && found.mapped().sql == object.sql) continue;
        SchemaFlaw flaw{object.type, name, found.empty() ? "is missing" : "is another", {}};
        const bool has_rows =
            object.type == "table" || (!found.empty() && found.mapped().type == "table");
        if (!has_rows && !found.empty())
            flaw.repair = "DROP " + found.mapped().type + " \"" + name + "\";";
        if (!has_rows) flaw.repair += object.sql;
        flaws.push_back(std::move(flaw));
    }
    // Tables, indexes and views of somebody else's are in nobody's way; a trigger acts.
    for (const auto& [name, object] : there) {
        if (object.type != "trigger") continue;
        std::string quoted = name;
        for (auto at = quoted.find('"'); at != std::string::npos; at = quoted.find('"', at + 2))
            quoted.insert(at, 1, '"');
        flaws.push_back(
            {object.type, name, "is not the store's", "DROP TRIGGER \"" + quoted + "\""});
    }
    return flaws;
}

}  // namespace xlstore
