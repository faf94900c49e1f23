// SPDX-License-Identifier: MIT
// The rows of a store of an older release, brought to what this one expects: the steps of the
// schema (store/database/tables.hpp), and what they cannot say in SQL.
#ifndef XLSTORE_STORE_CORE_UPGRADE_HPP_
#define XLSTORE_STORE_CORE_UPGRADE_HPP_

#include "store/base/error.hpp"
#include "store/database/db.hpp"
#include "store/database/private_copy.hpp"

namespace xlstore {

/// Takes the steps that `db` lacks. REQUIRES and @throws as add_steps().
void upgrade_rows(Db& db);

/// The same for a copy that no other process knows of; the store itself stays as it is.
/// Error io. @throws DbError: it is damaged
Result<void> upgrade_copy(const PrivateCopy& copy);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_UPGRADE_HPP_
