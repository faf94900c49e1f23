// SPDX-License-Identifier: MIT
#include "recovery/salvage/header_version.hpp"

#include <set>
#include <utility>

#include "schema/steps.hpp"
#include "store/database/tables.hpp"

namespace xlstore::recovery {

namespace {

std::set<std::pair<std::string, std::string>> objects_of(Db& db)
{
    auto rows = db.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'");
    std::set<std::pair<std::string, std::string>> objects;
    while (rows.step())
        objects.emplace(rows.text(0), rows.text(1));
    return objects;
}

}  // namespace

std::int64_t version_of_schema(Db& db)
{
    const auto there = objects_of(db);
    {
        Db newest(":memory:", Db::Mode::create, Durability::process, db.called());
        make_tables(newest);
        if (objects_of(newest) == there) return schema::newest_version();
    }
    Db model(":memory:", Db::Mode::create, Durability::process, db.called());
    std::int64_t found = 0;
    for (std::int64_t version = 1; version < schema::newest_version(); ++version) {
        take_next_step(model);
        if (objects_of(model) == there) found = version;
    }
    return found;
}

std::optional<std::string> wrong_ids(Db& db)
{
    const auto told = schema_version(db);
    const bool named = db.pragma_integer("PRAGMA application_id") == schema::kApplicationId;
    if (named && told == schema::newest_version()) return std::nullopt;
    // A step that changes no object leaves two versions alike: the told one may be right.
    const auto version = version_of_schema(db);
    if (version == 0 || (named && told == version)) return std::nullopt;
    if (!named) return "its application_id is that of another program, its tables are a store's";
    return "its user_version is " + std::to_string(told) + ", its tables are those of version " +
           std::to_string(version);
}

}  // namespace xlstore::recovery
