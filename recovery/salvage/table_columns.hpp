// SPDX-License-Identifier: MIT
// The tables of a database and the columns of each; they tell the version of a schema whose text is
// damaged.
#ifndef XLSTORE_RECOVERY_SALVAGE_TABLE_COLUMNS_HPP_
#define XLSTORE_RECOVERY_SALVAGE_TABLE_COLUMNS_HPP_

#include <cstdint>
#include <map>
#include <string>

#include "store/database/db.hpp"

namespace xlstore::recovery {

struct Column {
    std::string type;  ///< "": any
    bool may_be_null;
};
/// By table, then by name.
using TableColumns = std::map<std::string, std::map<std::string, Column>>;

/// @throws DbError
[[nodiscard]] TableColumns columns_of(Db& db);
/// As that version of the schema makes them.
[[nodiscard]] TableColumns columns_of_version(std::int64_t version);

/// The newest version all of whose columns are there; where the columns of another are the same,
/// `told`, which is the header's. 0: that of none, or a few of `told` are missing alone, so that
/// their names are damaged.
[[nodiscard]] std::int64_t version_by_columns(const TableColumns& there, std::int64_t told);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_TABLE_COLUMNS_HPP_
