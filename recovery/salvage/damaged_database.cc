// SPDX-License-Identifier: MIT
//   1. A scratch copy is mended until SQLite opens it (mended_file.hpp). If the schema cannot be
//      read, that of a new store of the version is put in its place, for each table whose page is
//      of the right kind.
//   2. scan: rows page by page (page_scan.hpp), besides those that SQLite finds through the trees.
//      A row of which nothing proves that it was not deleted before is marked as doubtful.
//
// Where SQLite stops at damage, rows_of_tree() goes on from the next id whose place can be looked
// at, and rows_from_both_ends() from the other end.
#include "recovery/salvage/damaged_database.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <limits>
#include <set>

#include "recovery/salvage/header_version.hpp"
#include "recovery/salvage/page_scan.hpp"
#include "store/database/tables.hpp"
#include "store/model/document.hpp"

namespace xlstore::recovery {

void DamagedDatabase::Finalize::operator()(sqlite3_stmt* statement) const
{
    sqlite3_finalize(statement);
}

DamagedDatabase::DamagedDatabase(const std::string& source, std::string scratch)
    : file_(source, std::move(scratch))
{
    try {
        open();
        version_ = version_of_schema(*db_);
        if (version_ == 0) version_ = version_by_columns(columns_of(*db_), schema_version(*db_));
    } catch (const DbError& e) {
        if (!is_damage(e)) throw;
    }
    if (version_ == 0) {
        db_.reset();
        version_ = file_.make_schema_anew();
        open();
    }
    // A page under another's number is no error to those who read it.
    if (file_.is_log_mended()) are_trees_sound_ = is_sound();
    tables_ = columns_of_version(version_);
    scan();
}

void DamagedDatabase::open()
{
    db_.emplace(file_.path(), Db::Mode::read_only);
    db_->execute("PRAGMA cell_size_check = OFF");  // every cell that can be read
}

bool DamagedDatabase::is_sound()
{
    try {
        auto integrity = db_->prepare("PRAGMA integrity_check(1)");
        return integrity.step() && integrity.text(0) == "ok";
    } catch (const DbError& e) {
        if (!is_damage(e)) throw;
        return false;
    }
}

// The rows by their pages: what SQLite finds by the trees is not all where a tree is broken.
void DamagedDatabase::scan()
{
    Db model(":memory:", Db::Mode::create, Durability::process, "store.db");
    make_tables(model, version_);
    std::vector<std::string> triggers;
    {
        auto names = model.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'");
        while (names.step())
            triggers.push_back(names.text(0));
    }
    for (const auto& name : triggers)
        model.execute("DROP TRIGGER " + name);
    const KeysUnchecked unchecked(model);
    const PageScan found(*db_, file_.pages(), file_.free_pages(), model);
    for (const auto& [table, columns] : tables_)
        scanned_[table] = found.rows(table);
}

const std::vector<Row>& DamagedDatabase::scanned(const std::string& table) const
{
    static const std::vector<Row> none;
    const auto found = scanned_.find(table);
    return found == scanned_.end() ? none : found->second;
}

DamagedDatabase::Prepared DamagedDatabase::prepare(const std::string& sql)
{
    sqlite3_stmt* statement = nullptr;
    const int rc = sqlite3_prepare_v2(db_->handle(), sql.c_str(), -1, &statement, nullptr);
    // SQLITE_ERROR: no such table or index; none was found whose rows these could be.
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_ERROR) db_->fail("cannot read it");
    return Prepared(statement);
}

std::string DamagedDatabase::names_of(const std::string& table)
{
    std::string names;
    for (const auto& [name, column] : tables_.at(table))
        names += (names.empty() ? "" : ", ") + name;
    return names;
}

namespace {

Row row_of(sqlite3_stmt* at)
{
    Row row;
    for (int i = 0; i < sqlite3_column_count(at); ++i) {
        Row::Cell cell;
        const int type = sqlite3_column_type(at, i);
        if (type == SQLITE_INTEGER) {
            cell = std::int64_t{sqlite3_column_int64(at, i)};
        } else if (type != SQLITE_NULL) {
            const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(at, i));
            cell = std::string(bytes ? bytes : "",
                               static_cast<std::size_t>(sqlite3_column_bytes(at, i)));
        }
        row.set(sqlite3_column_name(at, i), std::move(cell));
    }
    return row;
}

}  // namespace

bool DamagedDatabase::is_possible(const std::string& table, const std::string& name,
                                  const Row& row) const
{
    const auto& column = tables_.at(table).at(name);
    const auto& cell = row.cells().at(name);
    if (row.is_null(name)) return column.may_be_null;
    if (!column.type.empty() &&
        std::holds_alternative<std::int64_t>(cell) != (column.type == "INTEGER"))
        return false;
    if (name == "id") return row.integer(name) >= 0;  // 0: an index may tell the right one
    // What things are found by and messages show.
    constexpr std::array kWords = {"name", "class", "key", "kind", "uuid", "state"};
    return std::ranges::count(kWords, name) == 0 || check_name(row.text(name));
}

bool DamagedDatabase::is_possible(const std::string& table, const Row& row) const
{
    return std::ranges::all_of(
        row.cells(), [&](const auto& cell) { return is_possible(table, cell.first, row); });
}

// False: too little of it is left.
bool DamagedDatabase::empty_damaged(const std::string& table, Row& row) const
{
    const auto& columns = tables_.at(table);
    for (const auto& [name, column] : columns)
        if (!is_possible(table, name, row)) row.damage(name);
    if (row.damaged().empty()) return true;
    if (std::ranges::count(row.damaged(), "id") != 0 || row.damaged().size() * 2 > columns.size())
        return false;
    for (const auto& name : row.damaged()) {
        if (columns.at(name).may_be_null)
            row.set(name, std::monostate());
        else if (columns.at(name).type == "INTEGER")
            row.set(name, std::int64_t{0});
        else
            row.set(name, std::string());
    }
    return true;
}

bool DamagedDatabase::rows_by_id(const std::string& table, std::int64_t highest, const Sink& sink)
{
    std::set<std::int64_t> seen;
    bool whole = rows_of_tree(table, highest, [&](Row row) {
        seen.insert(row.integer("id"));
        sink(std::move(row));
    });
    // Those whose place is proved first: of a row that was moved its old page may have a copy.
    for (const bool proved : {true, false})
        for (const auto& row : scanned(table)) {
            if (row.proved() != proved || !seen.insert(row.integer("id")).second) continue;
            whole = false;
            sink(row);
        }
    return whole && are_trees_sound_;
}

constexpr std::int64_t kLastId = std::numeric_limits<std::int64_t>::max();

bool DamagedDatabase::rows_of_tree(const std::string& table, std::int64_t highest, const Sink& sink)
{
    const std::string select = "SELECT " + names_of(table) + " FROM " + table + " NOT INDEXED ";
    const auto onward = prepare(select + "WHERE id >= ? ORDER BY id");
    const auto single = prepare(select + "WHERE id = ?");  // all of it: the rest may be elsewhere
    if (!onward || !single) return false;
    bool whole = true;
    for (std::int64_t at = 0;;) {
        sqlite3_reset(onward.get());
        sqlite3_bind_int64(onward.get(), 1, at);
        int rc = SQLITE_ROW;
        while ((rc = sqlite3_step(onward.get())) == SQLITE_ROW) {
            Row row = row_of(onward.get());
            at = std::max(at, row.integer("id"));
            if (at < kLastId) ++at;
            whole = is_possible(table, row) && whole;
            if (empty_damaged(table, row)) sink(std::move(row));
        }
        if (rc == SQLITE_DONE) return whole;
        if ((rc & 0xff) != SQLITE_CORRUPT) db_->fail("cannot read it");
        // To the next id whose place can be looked at, whether it has a row or not.
        whole = false;
        for (bool readable = false; !readable; ++at) {
            if (at > highest || at == kLastId) return false;
            sqlite3_reset(single.get());
            sqlite3_bind_int64(single.get(), 1, at);
            rc = sqlite3_step(single.get());
            if (rc == SQLITE_ROW) break;  // from this one on
            if (rc != SQLITE_DONE && (rc & 0xff) != SQLITE_CORRUPT) db_->fail("cannot read it");
            readable = rc == SQLITE_DONE;
        }
    }
}

bool DamagedDatabase::rows_from_both_ends(const std::string& table, const std::string& query,
                                          const std::string& order, const Sink& sink)
{
    bool whole = true;
    for (const char* direction : {"ASC", "DESC"}) {
        std::string by = order;
        for (auto at = by.find("%s"); at != std::string::npos; at = by.find("%s"))
            by.replace(at, 2, direction);
        const auto statement = prepare(query + " ORDER BY " + by);
        if (!statement) return false;
        int rc = SQLITE_ROW;
        while ((rc = sqlite3_step(statement.get())) == SQLITE_ROW) {
            Row row = row_of(statement.get());
            if (is_possible(table, row))
                sink(std::move(row));
            else
                whole = false;
        }
        if (rc == SQLITE_DONE) return whole && are_trees_sound_ && direction[0] == 'A';
        if ((rc & 0xff) != SQLITE_CORRUPT) db_->fail("cannot read it");
    }
    return false;
}

}  // namespace xlstore::recovery
