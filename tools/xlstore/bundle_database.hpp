// SPDX-License-Identifier: MIT
// The database in a bundle: a copy without passwords and keys; of one that is damaged what can be
// read of it.
#ifndef XLSTORE_TOOLS_XLSTORE_BUNDLE_DATABASE_HPP_
#define XLSTORE_TOOLS_XLSTORE_BUNDLE_DATABASE_HPP_

#include <chrono>
#include <optional>
#include <string>

#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

/// The bytes of a copy of an open store's database. Error timeout: `until` was over before all
/// secrets were out; io: $TMPDIR has no room for it; store: it is damaged; and what
/// xlstore_backup() has.
Result<std::string> clean_database(xlstore_store* store,
                                   std::chrono::steady_clock::time_point until);

struct SalvagedDatabase {
    std::optional<std::string> bytes;  ///< a sound database; nothing: nothing could be read
    std::string damage;  ///< JSON: files and sizes, the header, what SQLite says, what was lost
};
/// The same of a store that cannot be opened, by copies of its files: an older release's as it is,
/// of a damaged one each row that SQLite can read. No process of ours may have it open. The
/// directory itself is only read. Error io: $TMPDIR has no room for the copies.
Result<SalvagedDatabase> salvage_database(const std::string& directory,
                                          std::chrono::steady_clock::time_point until);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLSTORE_BUNDLE_DATABASE_HPP_
