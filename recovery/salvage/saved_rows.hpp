// SPDX-License-Identifier: MIT
// What can be read of a damaged database, put into a new one under the store's own rules. A thing
// whose row is lost keeps an entry if an index still names it (R1); a row without a place is
// quarantined; what cannot be brought over is named.
#ifndef XLSTORE_RECOVERY_SALVAGE_SAVED_ROWS_HPP_
#define XLSTORE_RECOVERY_SALVAGE_SAVED_ROWS_HPP_

#include <cstdint>
#include <vector>

#include "recovery/salvage/damaged_database.hpp"
#include "recovery/salvage/loss.hpp"
#include "store/database/db.hpp"

namespace xlstore::recovery {

/// `ids_from`: every id given from now on is greater, and than any that can be read (R17).
/// REQUIRES a transaction of `into`, whose tables are empty. @throws DbError
std::vector<Loss> bring_over(DamagedDatabase& from, Db& into, std::int64_t ids_from);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_SAVED_ROWS_HPP_
