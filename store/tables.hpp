// SPDX-License-Identifier: MIT
// The schema in a database: made from the steps of schema/, and compared with them. Triggers keep
// the design's rules and views are what people read, so that one changed by hand matters.
#ifndef XLSTORE_STORE_TABLES_HPP_
#define XLSTORE_STORE_TABLES_HPP_

#include <string>
#include <vector>

#include "store/db.hpp"

namespace xlstore {

/// Everything that a new database needs before its first row. REQUIRES an empty one, and that
/// nobody sees it half-made. @throws DbError
void make_tables(Db& db);

/// Something of the schema that is not as make_tables() makes it.
struct SchemaFlaw {
    std::string type;  ///< table, index, trigger, view
    std::string name;
    std::string what;    ///< "is missing"
    std::string repair;  ///< SQL that puts it right and loses no row; empty: none does
};
/// @throws DbError
std::vector<SchemaFlaw> schema_flaws(Db& db);

}  // namespace xlstore

#endif  // XLSTORE_STORE_TABLES_HPP_
