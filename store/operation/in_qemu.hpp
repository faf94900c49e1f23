// SPDX-License-Identifier: MIT
// Whether an operation is about a thing that is QEMU's at all: in a PV or PVH domain, or on a USB
// controller that is none of the device model's, the same element is xenstore's (R3).
#ifndef XLSTORE_STORE_OPERATION_IN_QEMU_HPP_
#define XLSTORE_STORE_OPERATION_IN_QEMU_HPP_

#include "store/core/domain.hpp"
#include "store/model/intent.hpp"

namespace xlstore {

/// Error refused: `draft` adds or changes a thing that is not QEMU's in this domain; nothing was
/// done. A removal is always let through: what it takes out is what QEMU was seen to have.
Result<void> check_in_qemu(Db& db, const DomainRow& domain, const Draft& draft);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_IN_QEMU_HPP_
