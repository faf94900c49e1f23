// SPDX-License-Identifier: MIT
// The schema in a database: made from the steps of schema/, compared with them, and brought from
// the version of an older release to that of this one. Triggers keep the design's rules and views
// are what people read, so that one changed by hand matters.
//
// The version (`user_version`) is the number of steps that a database has had. A store that is
// upgraded takes all the steps that it lacks in one transaction: killed or out of space in it, the
// store is what it was, and the release that made it can still use it. Between the versions of two
// releases it would be of use to neither.
#ifndef XLSTORE_STORE_DATABASE_TABLES_HPP_
#define XLSTORE_STORE_DATABASE_TABLES_HPP_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "schema/steps.hpp"
#include "store/database/db.hpp"

namespace xlstore {

/// The number of steps that it has had. @throws DbError
[[nodiscard]] std::int64_t schema_version(Db& db);

/// "has schema version 3; this program knows 4".
[[nodiscard]] std::string version_words(std::int64_t found);
/// Everything that a new database needs before its first row: the first `version` steps. REQUIRES
/// an empty one, and that no other connection sees it half-made. @throws DbError
void make_tables(Db& db, std::int64_t version = schema::newest_version());
/// The step after the last that it has had. REQUIRES that there is one, and no row. @throws DbError
void take_next_step(Db& db);

/// While it lives SQLite does not check foreign keys, so that a step may make a table anew.
/// REQUIRES that no transaction is open when it begins and ends.
class KeysUnchecked {
public:
    explicit KeysUnchecked(Db& db);
    KeysUnchecked(const KeysUnchecked&) = delete;
    KeysUnchecked& operator=(const KeysUnchecked&) = delete;
    ~KeysUnchecked();

private:
    Db& db_;
};

/// Takes the steps that the database lacks, after putting right what was changed by hand of the
/// triggers and views that it has. REQUIRES KeysUnchecked and an open write transaction, which is
/// rolled back when this throws. @throws DbError (also when rows would name missing rows)
void add_steps(Db& db);

/// add_steps() in a transaction of its own, for a database that no other connection has open.
/// @throws DbError: it is as it was
void upgrade_tables(Db& db);

/// Something of the schema that is not as make_tables() makes it for the version of the database.
struct SchemaFlaw {
    std::string type;  ///< table, index, trigger, view
    std::string name;
    std::string what;    ///< "is missing"
    std::string repair;  ///< SQL that puts it right and loses no row; empty: none does
    bool foreign;        ///< a trigger that no step has made
    std::string text;    ///< of a table whose text was overwritten: what it has to be
    [[nodiscard]] bool can_be_put_right() const { return !repair.empty() || !text.empty(); }
};
/// @throws DbError
std::vector<SchemaFlaw> schema_flaws(Db& db);
/// REQUIRES an open write transaction, and can_be_put_right(). Other connections read the schema
/// anew. @throws DbError
void put_right(Db& db, const SchemaFlaw& flaw);

/// SQL of a row as a JSON object with every column that `table` has: "json_object('id', OLD.id,
/// …)". `row`: how the statement calls it. @throws DbError
[[nodiscard]] std::string row_as_json(Db& db, std::string_view table, std::string_view row);
/// Tables whose rows SQLite deletes with those of `table` that they name, and the column that does.
/// @throws DbError
[[nodiscard]] std::vector<std::pair<std::string, std::string>> tables_below(Db& db,
                                                                            std::string_view table);

/// A table whose text in the schema is as long as the store's own, and lacks a column that
/// statements name. "": there is none. @throws DbError
[[nodiscard]] std::string table_without_column(Db& db);

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_TABLES_HPP_
