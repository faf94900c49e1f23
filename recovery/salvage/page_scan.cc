// SPDX-License-Identifier: MIT
// Pages that a tree leads to are read by that tree. Of the others, those that are not free and look
// like a leaf of a table are read cell by cell; which table they are of is decided by the shape of
// their records: number and types of columns, and the checks of the table itself, asked of SQLite
// in a model of the schema. A page goes to the table that most of its cells fit. Where the list of
// cells of a page is damaged, its bytes are searched for cells.
#include "recovery/salvage/page_scan.hpp"

#include <sqlite3.h>

#include <algorithm>

#include "store/base/error.hpp"
#include "store/model/document.hpp"

namespace xlstore::recovery {

namespace {

PageType leaf_of(bool has_rowid)
{
    return has_rowid ? PageType::table_leaf : PageType::index_leaf;
}

}  // namespace

PageScan::PageScan(Db& damaged, Pages pages, const Pages::FreeList& free, Db& model)
    : pages_(std::move(pages)), model_(model), free_is_sound_(free.sound)
{
    read_tables();
    claim(1, "sqlite_schema");
    try {
        auto trees = damaged.prepare("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 1");
        while (trees.step())
            claim(static_cast<std::uint32_t>(trees.integer(1)), trees.text(0));
    } catch (const DbError& e) {
        if (!is_damage(e)) throw;
    }
    for (const auto number : free.pages)
        if (!trees_.contains(number)) free_.insert(number);
    for (const auto& [number, tree] : trees_)
        note_overflow(number);
    for (std::uint32_t number = 2; number <= pages_.count(); ++number)
        read_page(number);
}

const std::vector<Row>& PageScan::rows(const std::string& table) const
{
    static const std::vector<Row> none;
    const auto found = rows_.find(table);
    return found == rows_.end() ? none : found->second;
}

void PageScan::read_tables()
{
    std::vector<std::pair<std::string, bool>> names;
    {
        // A table WITHOUT ROWID is kept as an index.
        auto found = model_.prepare(
            "SELECT name, sql NOT LIKE '%WITHOUT ROWID' FROM sqlite_schema "
            "WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'");
        while (found.step())
            names.emplace_back(found.text(0), found.integer(1) != 0);
    }
    for (const auto& [name, has_rowid] : names)
        tables_.emplace(name, table_of(name, has_rowid));
}

PageScan::Table PageScan::table_of(const std::string& name, bool has_rowid)
{
    Table table{name, has_rowid, {}, {}};
    // Of one without rowid the key comes first, in its own order.
    auto columns = model_.prepare(
        "SELECT name, type, pk, dflt_value, \"notnull\" FROM pragma_table_info(?1) "
        "ORDER BY CASE WHEN ?2 OR pk = 0 THEN 1000 ELSE pk END, cid");
    columns.bind(name).bind(std::int64_t{has_rowid});
    std::string names;
    std::string marks;
    while (columns.step()) {
        Column column{columns.text(0), has_rowid && columns.integer(2) != 0, {}, false};
        const auto otherwise = columns.maybe_text(3);
        column.has_otherwise = otherwise || columns.integer(4) == 0;
        if (otherwise) {
            sqlite3_stmt* value = nullptr;
            const std::string sql = "SELECT " + *otherwise;
            if (sqlite3_prepare_v2(model_.handle(), sql.c_str(), -1, &value, nullptr) ==
                    SQLITE_OK &&
                sqlite3_step(value) == SQLITE_ROW) {
                if (sqlite3_column_type(value, 0) == SQLITE_INTEGER)
                    column.otherwise = std::int64_t{sqlite3_column_int64(value, 0)};
                else if (const auto* text = sqlite3_column_text(value, 0))
                    column.otherwise = std::string(reinterpret_cast<const char*>(text));
            }
            sqlite3_finalize(value);
        }
        names += (names.empty() ? "" : ", ") + column.name;
        marks += marks.empty() ? "?" : ", ?";
        table.columns.push_back(std::move(column));
    }
    table.insert = "INSERT INTO " + name + " (" + names + ") VALUES (" + marks + ")";
    return table;
}

void PageScan::claim(std::uint32_t root, const std::string& tree)
{
    std::vector<std::uint32_t> ahead = {root};
    while (!ahead.empty()) {
        const auto number = ahead.back();
        ahead.pop_back();
        if (number < 1 || number > pages_.count() || !trees_.emplace(number, tree).second) continue;
        for (const auto child : pages_.children(number))
            ahead.push_back(child);
    }
}

void PageScan::note_overflow(std::uint32_t number)
{
    for (const auto place : pages_.places(number))
        if (const auto cell = pages_.cell(number, place, pages_.type(number)))
            overflow_.insert(cell->more.begin(), cell->more.end());
}

std::optional<Row> PageScan::row_of(const Table& table, const Cell& cell)
{
    if (cell.values.size() > table.columns.size()) return std::nullopt;
    Row row;
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
        const auto& column = table.columns[i];
        const bool there = i < cell.values.size();
        if (!there && !column.has_otherwise) return std::nullopt;
        if (column.is_rowid)
            row.set(column.name, cell.rowid);
        else
            row.set(column.name, there ? cell.values[i] : column.otherwise);
    }
    if (!fits(table, row)) return std::nullopt;
    return row;
}

// Its columns' types and checks are asked of SQLite itself.
bool PageScan::fits(const Table& table, const Row& row)
{
    for (const auto& column : table.columns) {
        const auto& cell = row.cells().at(column.name);
        if (column.is_rowid && std::get<std::int64_t>(cell) <= 0) return false;
        const auto* text = std::get_if<std::string>(&cell);
        if (text && !check_name(*text) && (column.name == "class" || column.name == "key"))
            return false;
        if (text && column.name == "uuid" && !normal_uuid(*text)) return false;
    }
    try {
        model_.execute("SAVEPOINT fits");
        auto insert = model_.prepare(table.insert.c_str());
        for (const auto& column : table.columns) {
            const auto& cell = row.cells().at(column.name);
            if (const auto* number = std::get_if<std::int64_t>(&cell))
                insert.bind(*number);
            else if (const auto* text = std::get_if<std::string>(&cell))
                insert.bind(*text);
            else
                insert.bind(nullptr);
        }
        insert.run();
    } catch (const DbError& e) {
        model_.execute("ROLLBACK TO fits; RELEASE fits");
        const int code = e.extended_code() & 0xff;
        if (code != SQLITE_CONSTRAINT && code != SQLITE_MISMATCH && code != SQLITE_TOOBIG) throw;
        return false;
    }
    model_.execute("ROLLBACK TO fits; RELEASE fits");
    return true;
}

std::vector<Row> PageScan::rows_at_places(std::uint32_t number, const Table& table, bool proved,
                                          std::set<std::size_t>& covered)
{
    std::vector<Row> rows;
    const auto type = pages_.type(number);
    const bool of_index = type == PageType::index_leaf || type == PageType::index_interior;
    if (type == PageType::none || type == PageType::table_interior || of_index == table.has_rowid)
        return rows;
    for (const auto place : pages_.places(number)) {
        const auto cell = pages_.cell(number, place, type);
        auto row = cell ? row_of(table, *cell) : std::nullopt;
        if (!row) continue;
        if (!proved) row->doubt();
        rows.push_back(*std::move(row));
        covered.insert(place);
    }
    return rows;
}

// What looks like a cell where none is said to be: the page's own list of cells is damaged, or it
// was deleted.
std::vector<Row> PageScan::rows_between(std::uint32_t number, const Table& table,
                                        const std::set<std::size_t>& covered)
{
    std::vector<Row> rows;
    for (std::size_t at = 1; at < pages_.page_size(); ++at) {
        if (covered.contains(at)) continue;
        const auto cell = pages_.cell(number, at, leaf_of(table.has_rowid));
        // A long row of short ones is found within another's bytes; those have few columns.
        if (!cell || cell->values.size() + 4 < table.columns.size()) continue;
        auto row = row_of(table, *cell);
        if (!row) continue;
        row->doubt();
        rows.push_back(*std::move(row));
        at += cell->size - 1;
    }
    return rows;
}

void PageScan::read_page(std::uint32_t number)
{
    const auto tree = trees_.find(number);
    if (tree == trees_.end()) {
        if (!free_.contains(number)) read_orphan(number);
        return;
    }
    const auto table = tables_.find(tree->second);
    if (table == tables_.end()) return;
    std::set<std::size_t> covered;
    auto rows = rows_at_places(number, table->second, true, covered);
    const auto type = pages_.type(number);
    // Not one of them is: the tree is another table's, whose root was taken for this one's.
    if (rows.empty() && type != PageType::table_interior && !pages_.places(number).empty()) {
        read_orphan(number);
        return;
    }
    const bool whole = type == PageType::table_interior ||
                       (type != PageType::none && covered.size() == pages_.places(number).size());
    if (!whole)
        for (auto& row : rows_between(number, table->second, covered))
            rows.push_back(std::move(row));
    auto& all = rows_[table->first];
    std::ranges::move(rows, std::back_inserter(all));
}

// Its table is that to which most of its cells fit.
void PageScan::read_orphan(std::uint32_t number)
{
    const std::string* best = nullptr;
    std::vector<Row> most;
    const bool tree_page = pages_.type(number) != PageType::none;
    if (!tree_page && (overflow_.contains(number) || pages_.is_blank(number))) return;
    for (const auto& [name, table] : tables_) {
        std::set<std::size_t> covered;
        auto rows = rows_at_places(number, table, free_is_sound_, covered);
        if (!tree_page || (!rows.empty() && covered.size() < pages_.places(number).size()))
            for (auto& row : rows_between(number, table, covered))
                rows.push_back(std::move(row));
        if (rows.size() <= most.size()) continue;
        best = &name;
        most = std::move(rows);
    }
    if (best == nullptr) return;
    auto& all = rows_[*best];
    std::ranges::move(most, std::back_inserter(all));
}

}  // namespace xlstore::recovery
