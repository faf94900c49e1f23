// SPDX-License-Identifier: MIT
// What a salvage could read and had no place for is in table set_aside (R22). Entries and members
// of documents can be put back from there, where the store's rules let them in; the rest is for
// reading. Nothing is replaced by it, so that no generation is asked for.
#ifndef XLSTORE_STORE_KEEP_PUT_BACK_HPP_
#define XLSTORE_STORE_KEEP_PUT_BACK_HPP_

#include <string>

#include "store/core/store.hpp"

namespace xlstore {

/// Puts back the row of set_aside with this number: an entry as stale, since QEMU has to show
/// whether it has the thing (the next recovery asks it); a member at its place. The row leaves
/// set_aside by the same commit. What it was, in words. `dry_run`: as far as it can be told without
/// writing. Errors: not_found; refused, with the reason (it is for reading alone, or a rule is
/// against it); gone, busy, lost. Nothing has changed then.
Task<Result<std::string>> put_back_quarantined(Store& store, std::int64_t id, bool dry_run,
                                               Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_KEEP_PUT_BACK_HPP_
