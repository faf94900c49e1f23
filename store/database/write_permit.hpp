// SPDX-License-Identifier: MIT
// How the guards of schema/0015_guards.sql tell the library's connections from those of any other
// program: by a function that only these have.
#ifndef XLSTORE_STORE_DATABASE_WRITE_PERMIT_HPP_
#define XLSTORE_STORE_DATABASE_WRITE_PERMIT_HPP_

struct sqlite3;

namespace xlstore {

/// Gives the connection the function only_xlstore_changes_this(). It returns 1, and is marked as
/// innocuous: the schema is opened untrusted. Returns SQLite's code; no other effect when it fails.
[[nodiscard]] int permit_writes(sqlite3* db) noexcept;

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_WRITE_PERMIT_HPP_
