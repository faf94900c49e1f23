// SPDX-License-Identifier: MIT
// Whether a database is what its header says: a store, and of which version. The header can be
// damaged while all else is sound; what is in the schema tells.
#ifndef XLSTORE_RECOVERY_SALVAGE_HEADER_VERSION_HPP_
#define XLSTORE_RECOVERY_SALVAGE_HEADER_VERSION_HPP_

#include <cstdint>
#include <optional>
#include <string>

#include "store/database/db.hpp"

namespace xlstore::recovery {

/// The version whose tables, indexes, triggers and views are exactly those of `db`; 0: none's.
/// @throws DbError
[[nodiscard]] std::int64_t version_of_schema(Db& db);

/// What is wrong with application_id or user_version, in words; nothing: they are right, or this is
/// no store, or that of a newer release. @throws DbError
[[nodiscard]] std::optional<std::string> wrong_ids(Db& db);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_HEADER_VERSION_HPP_
