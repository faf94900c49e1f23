// SPDX-License-Identifier: MIT
// A backup: the whole database as one committed state of it, in one file without a log. It is taken
// beside writers, by a reader that keeps none of them waiting; recovery/runs/restore.hpp puts one
// back.
#ifndef XLSTORE_STORE_KEEP_BACKUP_HPP_
#define XLSTORE_STORE_KEEP_BACKUP_HPP_

#include <cstdint>
#include <string>

#include "store/core/store.hpp"

namespace xlstore {

struct Backup {
    std::string file;
    std::int64_t bytes = 0;
    std::int64_t commits = 0;  ///< of the store, when it was taken
    std::int64_t domains = 0;  ///< that are not destroyed
};

/// Writes it under another name, looks whether it is sound, syncs it, and only then gives it the
/// name `file`, which nothing may have: mode 0600, since documents may hold passwords. `store` may
/// be open read-only. It keeps its thread for as long as the copy takes, and no lock of the store's
/// but that of an SQLite reader. Killed before its end it leaves FILE.partial-XXXXXX, or nothing.
/// Errors: exists, io (no room, no directory), store (the copy is not sound). Nothing is left of it
/// then. @throws DbError
Result<Backup> take_backup(Store& store, const std::string& file);

/// Refuses what cannot be a backup of a store, or of a newer release: error invalid, saying why.
/// `shown`: what messages call it. @throws DbError
Result<void> check_backup(Db& db, const std::string& shown);

}  // namespace xlstore

#endif  // XLSTORE_STORE_KEEP_BACKUP_HPP_
