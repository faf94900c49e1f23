// SPDX-License-Identifier: MIT
// What is in QEMU and in no entry, as the entries that it would have. A device is put down with
// what it depends on (its block nodes, character device, network back end, objects), so that one
// detach takes out all of it.
#ifndef XLSTORE_STORE_QMP_PROPOSAL_HPP_
#define XLSTORE_STORE_QMP_PROPOSAL_HPP_

#include <functional>
#include <string>
#include <vector>

#include "store/model/intent.hpp"
#include "store/qmp/inventory.hpp"
#include "store/qmp/monitor.hpp"

namespace xlstore {

struct Proposal {
    ThingName name;
    std::string json;
    std::vector<Product> products;  ///< what depends on another comes after it
    std::string seen;               ///< what QEMU calls it
};

/// The unmanaged among what is `there`, grouped. What libxl has a class for becomes an entry of
/// that class, everything else one of class `qemu` without steps. `is_taken`: there is an entry of
/// that name already. Block nodes that belong to something known (a file below an image, a drive's
/// medium) are omitted. Errors: protocol (QEMU did not say enough).
Task<Result<std::vector<Proposal>>> propose(qmp::Monitor& monitor, const Inventory& there,
                                            std::vector<Product> unmanaged,
                                            std::function<bool(const ThingName&)> is_taken,
                                            Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_QMP_PROPOSAL_HPP_
