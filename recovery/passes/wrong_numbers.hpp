// SPDX-License-Identifier: MIT
// sqlite_sequence below numbers that were given, or far above all of them (R17;
// store/database/low_numbers.hpp). Either refuses each commit, that of a session first: it is put
// right before the store is opened, and in one commit.
#ifndef XLSTORE_RECOVERY_PASSES_WRONG_NUMBERS_HPP_
#define XLSTORE_RECOVERY_PASSES_WRONG_NUMBERS_HPP_

#include "recovery/base/check.hpp"
#include "store/core/store.hpp"
#include "store/database/low_numbers.hpp"

namespace xlstore::recovery {

struct NumberFound {
    Code code;
    WrongNumber number;
};
/// @throws DbError
[[nodiscard]] std::vector<NumberFound> find_wrong_numbers(Db& db, const Memory& seen);
/// Leaves those that were agreed to.
void ask_about(Check& check, std::vector<NumberFound>& found);
/// What came of it.
void tell(Check& check, const std::vector<NumberFound>& agreed, const Result<void>& done);
[[nodiscard]] std::vector<WrongNumber> numbers_of(const std::vector<NumberFound>& found);

/// Asks about each such table, and puts those that were agreed to right under the writer lock.
/// REQUIRES a store that may be written. A database that cannot be read is left to those who open
/// it. @throws IoError
void mend_numbers(Check& check, const StoreOptions& where);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_PASSES_WRONG_NUMBERS_HPP_
