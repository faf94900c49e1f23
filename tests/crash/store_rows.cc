// SPDX-License-Identifier: MIT
#include "tests/crash/store_rows.hpp"

#include <algorithm>
#include <filesystem>

#include "tests/support/rows.hpp"

namespace xlstore::test {

namespace {

/// `columns` of each row, the rows in an order of their own.
std::string cells(RawStore& store, const std::string& columns, const std::string& from)
{
    std::string row = "quote(" + columns + ")";
    for (auto at = row.find(", "); at != std::string::npos; at = row.find(", ", at + 12))
        row.replace(at, 2, ")||' '||quote(");
    return from + ": " +
           first_cell(store.rows("SELECT group_concat(" + row + ", char(10)) FROM (SELECT * FROM " +
                                 from + " ORDER BY 1, 2)")) +
           "\n";
}

Part part_of(RawStore& store, int id)
{
    const auto all = [&](const std::string& table, const std::string& key,
                         const std::string& columns) {
        return cells(store, columns,
                     table + " WHERE " + key + (id == 0 ? " IS NULL" : " = " + std::to_string(id)));
    };
    Part part;
    part.history = all("history", "domain", "domid, operation, class, key, outcome, evidence");
    if (id == 0) {
        part.rows = cells(store, "durability", "store");
        return part;
    }
    part.rows = all("domain", "id", "domid, uuid, name, state, qemu_pid") +
                all("document_member", "domain", "rank, key, text") +
                all("thing", "domain", "class, key, state, json") +
                all("product", "domain", "kind, name") +
                all("intent", "domain", "thing, operation, plan, note");
    part.copy = all("retired_document", "id", "domid, uuid, name, why, json, things");
    return part;
}

/// R21 before R22: what a destruction without room for a copy may leave in place of `right`.
bool is_without_copy(const Part& left, const Part& right)
{
    const std::string words = "; there was no room to keep a copy of the document";
    const auto at = left.history.find(words);
    if (at == std::string::npos || right.copy == left.copy) return false;
    Part said = left;
    said.history.erase(at, words.size());
    said.copy = right.copy;
    return said == right && left.copy.ends_with(": \n");
}

}  // namespace

Rows rows(const std::string& directory)
{
    Rows rows;
    if (!std::filesystem::exists(directory + "/store.db")) return rows;
    RawStore store(directory + "/store.db");
    const int domains =
        std::stoi(first_cell(store.rows("SELECT coalesce(max(id), 0) FROM domain")));
    for (int id = 0; id <= domains; ++id)
        rows.emplace(id, part_of(store, id));
    return rows;
}

std::string shown(const Rows& rows)
{
    std::string text;
    for (const auto& [id, part] : rows)
        text += part.rows + part.history + part.copy;
    return text;
}

bool fits(const Part& left, const Part& right, bool full)
{
    return left == right || (full && is_without_copy(left, right));
}
bool fit(const Rows& left, const Rows& right, bool full)
{
    return left.size() == right.size() &&
           std::equal(left.begin(), left.end(), right.begin(), [&](const auto& a, const auto& b) {
               return a.first == b.first && fits(a.second, b.second, full);
           });
}

bool end_alike(const Rows& left, const Rows& right)
{
    return std::ranges::equal(left, right, [](const auto& a, const auto& b) {
        return a.first == b.first && a.second.rows == b.second.rows;
    });
}

}  // namespace xlstore::test
