// SPDX-License-Identifier: MIT
// Who has a PCI device of the host's, as libxl and `xl pci-assignable-list` know it: the node
// /libxl/pci/ADDRESS/domid of xenstore, which is written before QEMU is asked for the device and
// goes when the device is free again.
#ifndef XLSTORE_STORE_OPERATION_PCI_OWNER_HPP_
#define XLSTORE_STORE_OPERATION_PCI_OWNER_HPP_

#include <cstdint>
#include <optional>
#include <string>

#include "store/base/error.hpp"
#include "store/event/loop.hpp"
#include "store/event/task.hpp"
#include "store/model/pci_address.hpp"

namespace xlstore {

/// The domain that has it, as the node says. Nothing: no domain, or this host has no xenstored.
/// Errors: io: could not look.
Task<Result<std::optional<std::string>>> pci_owner(Loop& loop, PciAddress device, Deadline until);

/// Writes the node for `domid`. Errors: io; refused: another domain has the device.
Task<Result<void>> take_pci_device(Loop& loop, PciAddress device, std::int64_t domid,
                                   Deadline until);
/// Takes the node away if it is that domain's. Errors: io.
Task<Result<void>> free_pci_device(Loop& loop, PciAddress device, std::int64_t domid,
                                   Deadline until);

/// The device that `xl pci-assignable-add -n` gave this name. Nothing: none has it, or this host
/// has no xenstored. Errors: io; refused: two have it.
Task<Result<std::optional<PciAddress>>> find_pci_device_named(Loop& loop, std::string name,
                                                              Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_PCI_OWNER_HPP_
