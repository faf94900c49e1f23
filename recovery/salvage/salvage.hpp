// SPDX-License-Identifier: MIT
// A damaged database replaced by a new one that has what can be read of it (R17). The damaged files
// stay beside it under a dated name, to the byte.
//
// The database is moved away before anything else is done, so that no process opens it meanwhile; a
// salvage that was killed is found by that, and done again from them. They get their dated name
// once what could not be saved is told; where a kill came before that, the next run tells it.
#ifndef XLSTORE_RECOVERY_SALVAGE_SALVAGE_HPP_
#define XLSTORE_RECOVERY_SALVAGE_SALVAGE_HPP_

#include <optional>
#include <string>

#include "recovery/base/check.hpp"
#include "store/core/store.hpp"

namespace xlstore::recovery {

/// Asks, and makes an empty database where there is none. True: done.
bool make_empty(Check& check, const std::string& directory);

/// Asks, and replaces it; says what was lost. True: done; open the store anew. REQUIRES that this
/// process does not have it open. When it fails the files are where they were.
/// `seen`: the file that `damage` was found in; another one is left alone (R17).
bool salvage(Check& check, const std::string& directory, const std::string& damage,
             const std::optional<FileIdentity>& seen);

/// Where a salvage was killed after the new database was in its place and before it had told what
/// was lost: asks, reads that once more from the damaged files, tells it, and gives them their
/// name. The store may be in use. Nothing: there is no such salvage.
void tell_what_salvage_lost(Check& check, const StoreOptions& where);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_SALVAGE_HPP_
