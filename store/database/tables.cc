// SPDX-License-Identifier: MIT
// A new database is made of the objects that all steps together make (schema/fold.cc). An older one
// takes steps, in order, and each sets user_version. Before the steps of an upgrade the
// schema that is there is compared, object by object, with one that is made of the same steps in
// memory, and what was changed by hand is put right, because a step drops and makes by name. After
// them no row may name a missing one that did not before.
#include "store/database/tables.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <numeric>

#include "store/base/error.hpp"

namespace xlstore {

namespace {

struct SchemaObject {
    std::string type;
    std::string sql;
};

using SchemaObjects = std::map<std::string, SchemaObject>;

SchemaObjects objects_of(Db& db)
{
    auto rows = db.prepare(
        "SELECT name, type, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'");
    SchemaObjects objects;
    while (rows.step())
        objects.emplace(rows.text(0), SchemaObject{rows.text(1), rows.text(2)});
    return objects;
}

}  // namespace

std::int64_t schema_version(Db& db)
{
    return db.pragma_integer("PRAGMA user_version");
}

namespace {

void take_steps(Db& db, std::int64_t from, std::int64_t to)
{
    const auto steps = schema::steps();
    if (from < 0 || to > static_cast<std::int64_t>(steps.size()))
        throw DbError(SQLITE_MISUSE, "database: there is no schema version " +
                                         std::to_string(from < 0 ? from : to));
    for (auto version = from; version < to; ++version) {
        db.execute(std::string(steps[static_cast<std::size_t>(version)].sql));
        db.execute("PRAGMA user_version = " + std::to_string(version + 1));
    }
}

std::int64_t dangling_rows(Db& db)
{
    return db.pragma_integer("SELECT count(*) FROM pragma_foreign_key_check");
}

}  // namespace

std::string version_words(std::int64_t found)
{
    return "has schema version " + std::to_string(found) + "; this program knows " +
           std::to_string(schema::newest_version());
}

void make_tables(Db& db, std::int64_t version)
{
    if (version != schema::newest_version()) return take_steps(db, 0, version);
    std::string all;
    for (const auto& object : schema::objects())
        all.append(object.sql).append(";");
    db.execute(all + "PRAGMA user_version = " + std::to_string(version));
}

void take_next_step(Db& db)
{
    const auto version = schema_version(db);
    take_steps(db, version, version + 1);
}

KeysUnchecked::KeysUnchecked(Db& db) : db_(db)
{
    db_.execute("PRAGMA foreign_keys = OFF");
}

KeysUnchecked::~KeysUnchecked()
{
    try {
        db_.execute("PRAGMA foreign_keys = ON");
    } catch (const DbError&) {
        // Out of memory: the rows of this connection are checked by the triggers alone.
    }
}

void add_steps(Db& db)
{
    const auto before = dangling_rows(db);
    // A step changes triggers and views by their names: what was changed by hand is put right
    // first.
    for (const auto& flaw : schema_flaws(db))
        if (!flaw.foreign && flaw.can_be_put_right()) put_right(db, flaw);
    take_steps(db, schema_version(db), schema::newest_version());
    if (dangling_rows(db) > before)
        throw DbError(SQLITE_CONSTRAINT_FOREIGNKEY,
                      "database: a step of the schema leaves rows that name a missing row");
}

void upgrade_tables(Db& db)
{
    if (schema_version(db) >= schema::newest_version()) return;
    const KeysUnchecked unchecked(db);
    Transaction transaction(db);
    add_steps(db);
    transaction.commit();
}

namespace {

SchemaObjects objects_of_version(std::int64_t version, const std::string& called)
{
    if (version < schema::newest_version()) {
        Db model(":memory:", Db::Mode::create, Durability::process, called);
        make_tables(model, version);
        return objects_of(model);
    }
    SchemaObjects objects;
    for (const auto& [type, name, sql] : schema::objects())
        objects.emplace(name, SchemaObject{std::string(type), std::string(sql)});
    return objects;
}

std::string columns_of(Db& db, const std::string& table)
{
    auto names = db.prepare("SELECT group_concat(name) FROM pragma_table_info(?)");
    names.bind(table);
    return names.step() ? names.text(0) : std::string();
}

std::string columns_of_text(const std::string& table, const std::string& sql)
{
    Db model(":memory:", Db::Mode::create);
    model.execute(sql);
    return columns_of(model, table);
}

bool lacks_column(Db& db, const std::string& table, const SchemaObject& wanted)
{
    return columns_of(db, table) != columns_of_text(table, wanted.sql);
}

// A change by hand is longer or shorter, but for a column that gets a name of the same length.
bool is_as_long(const SchemaObject& found, const SchemaObject& wanted)
{
    return found.type == "table" && wanted.type == "table" &&
           found.sql.size() == wanted.sql.size() && found.sql != wanted.sql;
}

int turned_bits(const std::string& one, const std::string& other)
{
    return std::transform_reduce(
        one.begin(), one.end(), other.begin(), 0, std::plus<>(),
        [](char a, char b) { return std::popcount(static_cast<unsigned char>(a ^ b)); });
}

// Damage that leaves all columns, or that is too little for a column's new name.
bool is_overwritten(Db& db, const std::string& table, const SchemaObject& found,
                    const SchemaObject& wanted)
{
    constexpr int kTurnedBits = 2;
    return is_as_long(found, wanted) &&
           (turned_bits(found.sql, wanted.sql) <= kTurnedBits || !lacks_column(db, table, wanted));
}

// For as long as this is there.
class SchemaWritable {
public:
    explicit SchemaWritable(Db& db) : db_(db)
    {
        sqlite3_db_config(db_.handle(), SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
        db_.execute("PRAGMA writable_schema = ON");
    }
    SchemaWritable(const SchemaWritable&) = delete;
    SchemaWritable& operator=(const SchemaWritable&) = delete;
    ~SchemaWritable()
    {
        sqlite3_exec(db_.handle(), "PRAGMA writable_schema = RESET", nullptr, nullptr, nullptr);
        sqlite3_db_config(db_.handle(), SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    }

private:
    Db& db_;
};

}  // namespace

std::vector<SchemaFlaw> schema_flaws(Db& db)
{
    const auto wanted = objects_of_version(schema_version(db), db.called());
    auto there = objects_of(db);
    std::vector<SchemaFlaw> flaws;
    for (const auto& [name, object] : wanted) {
        const auto found = there.extract(name);
        const bool same = !found.empty() && found.mapped().type == object.type;
        if (same && found.mapped().sql == object.sql) continue;
        SchemaFlaw flaw{object.type, name,  found.empty() ? "is missing" : "is another",
                        {},          false, {}};
        if (same && is_overwritten(db, name, found.mapped(), object)) flaw.text = object.sql;
        const bool has_rows =
            object.type == "table" || (!found.empty() && found.mapped().type == "table");
        if (!has_rows && !found.empty())
            flaw.repair = "DROP " + found.mapped().type + " \"" + name + "\";";
        if (!has_rows) flaw.repair += object.sql;
        flaws.push_back(std::move(flaw));
    }
    // Foreign tables, indexes and views do no harm; a trigger acts.
    for (const auto& [name, object] : there) {
        if (object.type != "trigger") continue;
        std::string quoted = name;
        for (auto at = quoted.find('"'); at != std::string::npos; at = quoted.find('"', at + 2))
            quoted.insert(at, 1, '"');
        flaws.push_back(
            {object.type, name, "is not the store's", "DROP TRIGGER \"" + quoted + "\"", true, {}});
    }
    return flaws;
}

void put_right(Db& db, const SchemaFlaw& flaw)
{
    if (flaw.text.empty()) return db.execute(flaw.repair);
    const SchemaWritable writable(db);
    db.prepare("UPDATE sqlite_schema SET sql = ?1 WHERE type = 'table' AND name = ?2")
        .bind(flaw.text)
        .bind(flaw.name)
        .run();
    const auto generation = db.pragma_integer("PRAGMA schema_version");
    db.execute("PRAGMA schema_version = " + std::to_string(generation + 1));
}

std::string table_without_column(Db& db)
{
    const auto version = schema_version(db);
    if (version < 1 || version > schema::newest_version()) return {};
    const auto there = objects_of(db);
    for (const auto& [name, object] : objects_of_version(version, db.called())) {
        const auto found = there.find(name);
        if (found != there.end() && is_as_long(found->second, object) &&
            lacks_column(db, name, object))
            return name;
    }
    return {};
}

std::string row_as_json(Db& db, std::string_view table, std::string_view row)
{
    auto columns = db.prepare("SELECT name FROM pragma_table_info(?1)").bind(table);
    std::string members;
    while (columns.step()) {
        const auto name = columns.text(0);
        members += (members.empty() ? "'" : ", '") + name + "', ";
        members.append(row).append(".\"" + name + "\"");
    }
    return "json_object(" + members + ")";
}

std::vector<std::pair<std::string, std::string>> tables_below(Db& db, std::string_view table)
{
    auto rows = db.prepare(
        "SELECT t.name, k.\"from\" FROM sqlite_schema t, pragma_foreign_key_list(t.name) k WHERE "
        "t.type = 'table' AND k.\"table\" = ?1 AND k.on_delete = 'CASCADE' ORDER BY t.name");
    rows.bind(table);
    std::vector<std::pair<std::string, std::string>> below;
    while (rows.step())
        below.emplace_back(rows.text(0), rows.text(1));
    return below;
}

}  // namespace xlstore
