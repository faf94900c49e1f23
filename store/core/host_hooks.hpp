// SPDX-License-Identifier: MIT
// What is the host's about devices: what an embedder does itself (the hypervisor's part of a PCI
// device), and what is run for it (hotplug scripts). Set once, before the operations that need it.
#ifndef XLSTORE_STORE_CORE_HOST_HOOKS_HPP_
#define XLSTORE_STORE_CORE_HOST_HOOKS_HPP_

#include <functional>
#include <string>

#include "store/base/error.hpp"

namespace xlstore {

/// Permissions, interrupts and assignment of one PCI device in the hypervisor.
struct PciTask {
    bool assign = true;  ///< false: take it back
    int domid = 0;
    std::string address;  ///< "0000:03:00.0"
    std::string json;     ///< the entry
};

struct HostHooks {
    /// Called between QEMU's part and the commit that says it, under the slow lock of the domain
    /// alone; it may be called again for what it has done already, and must say so as done. It must
    /// not call into the store. Empty: this program does not do it, and what would need it is
    /// refused.
    std::function<Result<void>(const PciTask&)> pci;
    std::string sysfs = "/sys";  ///< where the kernel shows the host's devices
    /// Where hotplug scripts that are given without a directory are.
    std::string scripts = "/etc/xen/scripts";
    /// Hotplug scripts are run as libxl runs them, unless the domain's document says that they are
    /// not (c_info.run_hotplug_scripts). False: another program of this host runs them.
    bool runs_scripts = true;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_HOST_HOOKS_HPP_
