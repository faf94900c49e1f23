// SPDX-License-Identifier: MIT
// Whether a database is damaged. A passing trouble never makes xlfsck replace a healthy one: what
// one connection met is looked for again over a fresh one, in a private copy of the files, and
// counts only when it is seen there, too.
#ifndef XLSTORE_RECOVERY_SALVAGE_DAMAGE_HPP_
#define XLSTORE_RECOVERY_SALVAGE_DAMAGE_HPP_

#include <optional>
#include <string>

#include "recovery/base/check.hpp"
#include "store/base/error.hpp"

namespace xlstore::recovery {

/// A salvage of the store in `directory` was killed before there was a database again.
/// @throws std::filesystem::filesystem_error: that cannot be seen
[[nodiscard]] bool was_broken_off(const std::string& directory);

/// The store has to be looked at with damage_of() before SQLite may open it: the database is empty
/// or missing beside its log, or SQLite would not read all of its log and would write over the
/// rest. Errors as there.
Result<bool> is_unsafe_to_open(const std::string& directory);

/// Why the database in `directory` cannot be used as it is: SQLite does not take it for sound, its
/// ids or its log are wrong, it is empty or lost beside its log, or a salvage was broken off.
/// Nothing: that is not what is wrong. Reads a fresh private copy, and writes nothing in the store.
/// Error io: it could not be looked at, which says nothing of it.
Result<std::optional<std::string>> damage_of(const std::string& directory);

/// What a statement has met there, if that is damage: SQLite says so, or the text of a table was
/// overwritten, which then lacks a column that the statement names. Nothing: it is another error.
[[nodiscard]] std::optional<std::string> damage_met(const std::string& directory,
                                                    const DbError& error);

/// `first`: what one connection took for damage. Looks again, and gives what is seen there; sees it
/// nothing, or cannot it look, that is reported as database_unseen, and nothing may be replaced.
std::optional<std::string> seen_again(Check& check, const std::string& directory,
                                      const std::string& first);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_DAMAGE_HPP_
