// SPDX-License-Identifier: MIT
// A trigger that no release made, or one that a hand changed, may refuse the very commit with which
// a store is opened, and so the run of xlfsck that would take it out. Then it is taken out before,
// without a session; any other is left to pass 0, which records it for undo.
#ifndef XLSTORE_RECOVERY_PASSES_SCHEMA_IN_THE_WAY_HPP_
#define XLSTORE_RECOVERY_PASSES_SCHEMA_IN_THE_WAY_HPP_

#include "recovery/base/check.hpp"
#include "store/core/store.hpp"

namespace xlstore::recovery {

/// Asks about each, and puts those that were agreed to right in one transaction under the writer
/// lock; what they were is quarantined (R22). REQUIRES that the store could not be opened because
/// of a constraint, or because a statement could not be prepared. True: the schema was changed, and
/// it is worth another try. @throws DbError, IoError
bool mend_schema_in_the_way(Check& check, const StoreOptions& where);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_PASSES_SCHEMA_IN_THE_WAY_HPP_
