// SPDX-License-Identifier: MIT
// Two functions of SQL that only the library's connections have.
#ifndef XLSTORE_STORE_DATABASE_WRITE_PERMIT_HPP_
#define XLSTORE_STORE_DATABASE_WRITE_PERMIT_HPP_

#include <string>

struct sqlite3;

namespace xlstore {

/// Gives the connection the function only_xlstore_changes_this(), by which the guards of
/// schema/0015_guards.sql tell it from that of any other program. It returns 1, and is marked as
/// innocuous: the schema is opened untrusted. Returns SQLite's code; no other effect when it fails.
[[nodiscard]] int permit_writes(sqlite3* db) noexcept;

/// Gives it the function written_for(), which returns `token` as it is then. REQUIRES that `token`
/// outlives the connection. Returns SQLite's code; no other effect when it fails.
[[nodiscard]] int tell_written_for(sqlite3* db, const std::string& token) noexcept;

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_WRITE_PERMIT_HPP_
