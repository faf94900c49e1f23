// SPDX-License-Identifier: MIT
// The domains that the hypervisor has, by libxenlight, where this was built with its headers and
// the host has that very version of it. It is loaded when it is asked, so that a host without Xen
// needs none.
#ifndef XLSTORE_RECOVERY_LIBXL_HYPERVISOR_HPP_
#define XLSTORE_RECOVERY_LIBXL_HYPERVISOR_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/base/error.hpp"

namespace xlstore::recovery {

struct HypervisorDomain {
    std::int64_t domid = 0;
    std::string uuid;  ///< its handle: what libxl names files after
    bool paused = false;
    bool dying = false;
};

/// All but domain 0, by domid. Errors: not_found (built without libxenlight, or the host has not
/// that version of it: a look without the hypervisor is possible); io (it could not be asked).
[[nodiscard]] Result<std::vector<HypervisorDomain>> list_hypervisor_domains();

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_HYPERVISOR_HPP_
