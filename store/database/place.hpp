// SPDX-License-Identifier: MIT
// The place of a store: one machine and one directory of it, as the store's row says it (R17).
// Whether a database is in its place: store/database/displaced.hpp.
#ifndef XLSTORE_STORE_DATABASE_PLACE_HPP_
#define XLSTORE_STORE_DATABASE_PLACE_HPP_

#include <cstdint>
#include <optional>
#include <string>

#include "store/base/file_identity.hpp"
#include "store/database/db.hpp"

namespace xlstore {

struct Place {
    std::string machine;    ///< /etc/machine-id; "": this machine has none
    std::string boot_id;    ///< of the kernel that runs
    std::string directory;  ///< its path
    FileIdentity identity;  ///< of the directory; a device number is that of one boot
    std::int64_t born_ns = 0;  ///< when the directory was made (store/base/birth_time.hpp)
};
/// Is `there`, as it is now, the directory of `written`, under any name?
[[nodiscard]] bool is_same_directory(const Place& written, const Place& there);
/// @throws IoError  the directory or the boot id cannot be looked at.
[[nodiscard]] Place place_at(const std::string& directory);

/// What the store's row says; nothing: of no place yet. @throws DbError
[[nodiscard]] std::optional<Place> read_place(Db& db);
/// Writes `here` into the store's row. REQUIRES an open write transaction. @throws DbError
void write_place(Db& db, const Place& here);
}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_PLACE_HPP_
