// SPDX-License-Identifier: MIT
// One domain of a host without a store: its document is read into a private store, its QEMU met by
// looking (R19), the passes run on it, and what they changed written back to libxl's file.
#ifndef XLSTORE_RECOVERY_LIBXL_HOST_DOMAIN_LOOK_HPP_
#define XLSTORE_RECOVERY_LIBXL_HOST_DOMAIN_LOOK_HPP_

#include <functional>
#include <string>
#include <vector>

#include "recovery/base/check.hpp"
#include "recovery/libxl/host_domains.hpp"
#include "recovery/libxl/host_undo.hpp"
#include "store/core/store.hpp"
#include "store/libxl/host_directories.hpp"

namespace xlstore::recovery {

/// What was found, in a host's words, and what became of it.
struct HostFinding {
    Code code;
    Subject about;
    Action action = Action::none;
    std::optional<Error> error = {};
};
using HostAnswer = std::function<bool(const HostFinding&)>;

/// Libxl's locks on the domain whose holders died: "its lock … is left", for messages.
struct LocksLeft {
    std::string text;      ///< "": none
    bool monitor = false;  ///< the one on its monitor is one of them
};
/// To be asked before this process takes one of them.
[[nodiscard]] LocksLeft locks_left_of(const libxl::HostDirectories& where,
                                      const HostDomain& domain);

struct HostLook {
    std::int64_t domid = 0;
    std::string uuid;
    LocksLeft locks_left;
    std::vector<HostFinding> findings;
};

struct HostLookRequest {
    libxl::HostDirectories where;
    HostDomain domain;
    const xenstore::Tree& tree;  ///< the nodes that the list of domains was made of
    bool looking_only = true;
    LocksLeft locks_left;
    std::chrono::milliseconds timeout{};  ///< for each part of the look
    HostAnswer answer;                    ///< may it be repaired?
};

/// `store` is private to this process. What goes wrong is a finding of this domain.
Task<HostLook> look_at_host_domain(Store& store, HostUndo& undo, HostLookRequest request);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_HOST_DOMAIN_LOOK_HPP_
