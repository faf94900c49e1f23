// SPDX-License-Identifier: MIT
// The last part of a creation: what the document has is put into a QEMU that its row started.
#ifndef XLSTORE_STORE_LIFECYCLE_FINISH_CREATION_HPP_
#define XLSTORE_STORE_LIFECYCLE_FINISH_CREATION_HPP_

#include <string>
#include <vector>

#include "store/core/store.hpp"
#include "store/model/domain_row.hpp"

namespace xlstore {

struct Created {
    DomainRow domain;
    std::vector<std::string>
        notes;  ///< things of the document that QEMU has not and cannot be given
};

/// From the monitor's first answer on: initial devices, each qmp thing probed or attached, running.
/// Recovery finishes a dead creator's work with it. REQUIRES a registered QEMU in the row.
Task<Result<Created>> finish_creation(Store& store, DomainRow domain, SlowHold hold,
                                      Deadline until);

/// The same of a creation without a QEMU: its things are in xenstore, put there by the toolstack.
/// REQUIRES that the row says so.
Task<Result<Created>> finish_without_qemu(Store& store, DomainRow domain, SlowHold hold,
                                          Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_FINISH_CREATION_HPP_
