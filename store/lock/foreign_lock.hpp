// SPDX-License-Identifier: MIT
// A program that locks the database of a store without knowing the store's writer lock: the shell
// of SQLite in a transaction, above all. SQLite says only that the database is locked; the kernel
// says by whom.
#ifndef XLSTORE_STORE_LOCK_FOREIGN_LOCK_HPP_
#define XLSTORE_STORE_LOCK_FOREIGN_LOCK_HPP_

#include <string>

#include "store/base/error.hpp"
#include "store/event/loop.hpp"

namespace xlstore {

/// Error timeout, naming the processes that keep others from writing to `database` (or from reading
/// it, where they have it to themselves): those with a lock on the bytes that SQLite's file format
/// has for that, in the database and in the index of its log. Opens neither file: to close one
/// would drop SQLite's own locks. Those that /proc hides from this user are not named, and that is
/// said.
Task<Error> database_locked(Loop& loop, std::string database);
/// The same for a caller without a loop.
[[nodiscard]] Error database_locked(const std::string& database);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LOCK_FOREIGN_LOCK_HPP_
