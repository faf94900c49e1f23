// SPDX-License-Identifier: MIT
// --rebuild: rows for QEMUs that no row knows, from what can be known of them: their command lines
// and monitors, and libxl's userdata files. For a store that was lost, wholly or in part. xenstore
// is not asked: nothing of it is read in this version.
#ifndef XLSTORE_RECOVERY_REBUILD_REBUILD_HPP_
#define XLSTORE_RECOVERY_REBUILD_REBUILD_HPP_

#include "recovery/base/check.hpp"
#include "store/core/store.hpp"

namespace xlstore::recovery {

/// Finds the QEMUs of this host that are this store's (their monitor is in its run/) or Xen's
/// (-xen-domid). One that belongs to a row without a QEMU is registered there; for another one a
/// domain is made of the document that libxl keeps of it, or of a bare one. Nothing is put into
/// them (store/lifecycle/registration.hpp). Ids go on above all that the names in run/ show (R17).
Task<void> rebuild(Check& check, Store& store);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_REBUILD_REBUILD_HPP_
