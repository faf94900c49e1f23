// SPDX-License-Identifier: MIT
// A store of an older release, brought to the schema of this one (store/database/tables.hpp) when
// it is opened for writing. That takes it alone: a process of the older release that has it open
// goes on with the statements of its own schema.
#ifndef XLSTORE_STORE_CORE_UPGRADE_HPP_
#define XLSTORE_STORE_CORE_UPGRADE_HPP_

#include <string>

#include "store/core/store.hpp"
#include "store/database/private_copy.hpp"

namespace xlstore {

/// "has schema version 3; this program knows 4".
[[nodiscard]] std::string version_words(std::int64_t found);

/// Takes the steps that the store lacks, all in one transaction, under the writer lock and with
/// every session byte held (R17), and says so in history. Waits until `until` for processes that
/// have it open. REQUIRES that `store` has no session yet. Errors: busy, naming those that have it
/// open; store: it could not be done (no space, say), and the store is as it was; lost.
/// @throws DbError: it is damaged
Result<void> upgrade_store(Store& store, Deadline until);

/// The same for a copy that no other process knows of; the store itself stays as it is.
/// Error io. @throws DbError: it is damaged
Result<void> upgrade_copy(const PrivateCopy& copy);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_UPGRADE_HPP_
