// SPDX-License-Identifier: MIT
// sqlite_sequence far above all numbers that were given (R17; store/database/low_numbers.hpp). A
// table that has no number left refuses each row, that of a session first: it is put right before
// the store is opened.
#ifndef XLSTORE_RECOVERY_PASSES_HIGH_NUMBERS_HPP_
#define XLSTORE_RECOVERY_PASSES_HIGH_NUMBERS_HPP_

#include "recovery/base/check.hpp"
#include "store/core/store.hpp"
#include "store/database/low_numbers.hpp"

namespace xlstore::recovery {

[[nodiscard]] Subject subject_of(const WrongNumber& number);

/// Asks about each such table, and lowers them under the writer lock after yes. REQUIRES a store
/// that may be written. A database that cannot be read is left to those who open it. @throws
/// IoError
void mend_high_numbers(Check& check, const StoreOptions& where);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_PASSES_HIGH_NUMBERS_HPP_
