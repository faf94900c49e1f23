// SPDX-License-Identifier: MIT
// libxl's list of a domain's PCI devices (store/xenstore/pci_list.hpp), read and written.
#ifndef XLSTORE_STORE_OPERATION_PCI_NODES_HPP_
#define XLSTORE_STORE_OPERATION_PCI_NODES_HPP_

#include <cstdint>
#include <functional>
#include <string>

#include "store/operation/nodes_fate.hpp"
#include "store/xenstore/pci_list.hpp"

namespace xlstore {

/// Errors: io; protocol: num_devs is no number of devices.
Task<Result<xenstore::PciList>> read_pci_list(xenstore::Client& client, std::int64_t domid,
                                              xenstore::Transaction in, Deadline until);

/// Sees the list in a transaction, before it is changed there and behind that, before the commit.
/// An error ends the transaction without a change. A transaction that another client was faster
/// than is done again, and seen again.
using PciListWitness = std::function<Task<Result<void>>(xenstore::Transaction in, bool is_changed)>;

/// Puts the device at the end of the list, which is made if there is none. `there`: it is in it.
Task<NodesFate> list_pci_device(xenstore::Client& client, DomainRow domain, PciAddress device,
                                std::string json, Deadline until, PciListWitness witness = {});
/// Asks the back end to let go of the device. `there`: it is not in the list.
Task<NodesFate> close_pci_device(xenstore::Client& client, std::int64_t domid, PciAddress device,
                                 Deadline until);
/// Takes the device out of the list, which goes with its last one. `there`: it is not in it.
Task<NodesFate> unlist_pci_device(xenstore::Client& client, std::int64_t domid, PciAddress device,
                                  Deadline until, PciListWitness witness = {});

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_PCI_NODES_HPP_
