// SPDX-License-Identifier: MIT
// The CHECKs of the store's tables, and the rows that fail them. Over a connection that is
// read-only SQLite does not even read these, so that its integrity check finds no such row there.
#ifndef XLSTORE_RECOVERY_SALVAGE_TABLE_CHECKS_HPP_
#define XLSTORE_RECOVERY_SALVAGE_TABLE_CHECKS_HPP_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/database/db.hpp"

namespace xlstore::recovery {

struct TableCheck {
    std::string table;
    std::string condition;  ///< SQL; a row fails where it is false, and not where it is NULL
};

/// Those in the text that makes `table`, in their order. Pure.
[[nodiscard]] std::vector<TableCheck> checks_in(std::string_view table, std::string_view sql);
/// Those of all tables, as that version of the schema makes them. @throws DbError
[[nodiscard]] std::vector<TableCheck> checks_of_version(std::int64_t version);

/// In the words of SQLite's integrity check, a line for each row that fails one, and no more lines
/// than that gives. Nothing of a version that this program does not know. Reads all rows.
/// @throws DbError
[[nodiscard]] std::vector<std::string> failed_checks(Db& db);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_TABLE_CHECKS_HPP_
