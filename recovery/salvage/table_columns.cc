// SPDX-License-Identifier: MIT
#include "recovery/salvage/table_columns.hpp"

#include <algorithm>

#include "schema/steps.hpp"
#include "store/database/tables.hpp"

namespace xlstore::recovery {

TableColumns columns_of(Db& db)
{
    auto columns = db.prepare(
        "SELECT t.name, c.name, c.type, NOT (c.\"notnull\" OR c.pk) "
        "FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'");
    TableColumns found;
    while (columns.step())
        found[columns.text(0)][columns.text(1)] = Column{columns.text(2), columns.integer(3) != 0};
    return found;
}

TableColumns columns_of_version(std::int64_t version)
{
    Db model(":memory:", Db::Mode::create, Durability::process, "store.db");
    make_tables(model, version);
    return columns_of(model);
}

namespace {

bool has_all_of(const TableColumns& there, const TableColumns& wanted)
{
    return std::ranges::all_of(wanted, [&](const auto& table) {
        const auto found = there.find(table.first);
        return found != there.end() && std::ranges::all_of(table.second, [&](const auto& column) {
                   return found->second.contains(column.first);
               });
    });
}

// Of the columns of the version that the header tells.
bool lacks_few(const TableColumns& there, std::int64_t told)
{
    constexpr int kFew = 3;
    if (told < 1 || told > schema::newest_version()) return false;
    int lacking = 0;
    for (const auto& [table, columns] : columns_of_version(told)) {
        const auto found = there.find(table);
        if (found == there.end()) return false;
        for (const auto& [name, column] : columns)
            lacking += found->second.contains(name) ? 0 : 1;
    }
    return lacking > 0 && lacking <= kFew;
}

// By what its tables have, since the header may be damaged; that decides only where a step changed
// no table.
std::int64_t version_with(const TableColumns& there, std::int64_t told)
{
    for (auto version = schema::newest_version(); version > 0; --version) {
        const auto wanted = columns_of_version(version);
        if (!has_all_of(there, wanted)) continue;
        const bool same =
            told > 0 && told < version && has_all_of(columns_of_version(told), wanted);
        return same ? told : version;
    }
    return 0;
}

}  // namespace

std::int64_t version_by_columns(const TableColumns& there, std::int64_t told)
{
    // Another column's name was overwritten: by the other columns it would be an older one.
    return lacks_few(there, told) ? 0 : version_with(there, told);
}

}  // namespace xlstore::recovery
