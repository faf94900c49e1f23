// SPDX-License-Identifier: MIT
// Rows that name a missing one, mended one by one: no other row has to be written anew for them.
#ifndef XLSTORE_RECOVERY_SALVAGE_DANGLING_ROWS_HPP_
#define XLSTORE_RECOVERY_SALVAGE_DANGLING_ROWS_HPP_

#include "store/database/db.hpp"
#include "store/base/error.hpp"

namespace xlstore::recovery {

/// Sets each row that names a missing one aside (table set_aside), but for one that needs nothing
/// of it: a domain whose creator's session is missing forgets that, and the owner of an intent gets
/// the row of a process that is gone, since an intent stays until its thing was looked at (R10).
/// REQUIRES an open write transaction. Error store: a rule of the store is against it; the
/// transaction has to be rolled back. @throws DbError
[[nodiscard]] Result<void> mend_dangling_rows(Db& db);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_DANGLING_ROWS_HPP_
