// SPDX-License-Identifier: MIT
// Things of which it is not known where QEMU put them: entries of release 0.1, what external QMP
// clients added, what was found in QEMU. Asked for before it is needed: before that QEMU goes, and
// before its state goes to another.
#ifndef XLSTORE_STORE_OPERATION_UNPLACED_HPP_
#define XLSTORE_STORE_OPERATION_UNPLACED_HPP_

#include <string>
#include <vector>

#include "store/core/domain.hpp"
#include "store/core/store.hpp"
#include "store/libxl/host_hold.hpp"

namespace xlstore {

/// Asks QEMU where the present things are of which that is not known, and writes it down: before a
/// QEMU is taken away, or a document elsewhere. Connects for it only if there is one, and not
/// longer than 2 s. `beside`: HostHold::take_for() of this domain, as `hold` is its slow lock.
/// Value: things of which it is not known still. Sends queries only. Errors: lost, gone; a QEMU
/// that does not answer is none.
Task<Result<std::vector<std::string>>> learn_addresses(Store& store, DomainRow domain,
                                                       SlowHold& hold,
                                                       const libxl::HostHold& beside,
                                                       Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_UNPLACED_HPP_
