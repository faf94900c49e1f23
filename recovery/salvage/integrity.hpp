// SPDX-License-Identifier: MIT
// What SQLite finds wrong with a database. Damage is what SQLite says of the bytes (SQLITE_CORRUPT,
// SQLITE_NOTADB, lines of its integrity check); that a page could not be read (an I/O error, no
// memory, no descriptors) is none, and is thrown.
#ifndef XLSTORE_RECOVERY_SALVAGE_INTEGRITY_HPP_
#define XLSTORE_RECOVERY_SALVAGE_INTEGRITY_HPP_

#include <optional>
#include <string>
#include <string_view>

#include "store/database/db.hpp"

namespace xlstore::recovery {

/// What SQLite says of a file, safe to print: it may quote what stands there.
[[nodiscard]] std::string words_of_sqlite(std::string_view text);

struct Integrity {
    std::string lines;          ///< the first few of what SQLite says; empty: nothing is wrong
    bool indexes_alone = true;  ///< the tables are sound
    bool rows_alone = true;  ///< only rows that name a missing row; all that SQLite wrote is sound
};

/// Reads all of it. @throws DbError: it is not a database, or could not be read; see is_damage()
Integrity integrity_of(Db& db);

/// What is wrong with the size of its pages, in words; nothing: it is that of a store's. SQLite
/// reads one size as well as another, but the reserve (R21) is counted in pages of one.
[[nodiscard]] std::optional<std::string> wrong_page_size(Db& db);

/// The code in a line of the integrity check that tells of a page which could not be read; 0: the
/// line tells of damage.
[[nodiscard]] int unread_in(const std::string& line);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_INTEGRITY_HPP_
