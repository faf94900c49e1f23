// SPDX-License-Identifier: MIT
// What xenstore has of the things of a domain that is being destroyed: it goes before their entries
// do (R1). As libxl ends the devices of a domain: the front end first, so that a back end lets go
// without its guest; then the back end is asked to close and is waited for; its hotplug
// script tidies up; the nodes go. No guest can keep a destruction from its end.
#ifndef XLSTORE_STORE_LIFECYCLE_DEVICE_ENDING_HPP_
#define XLSTORE_STORE_LIFECYCLE_DEVICE_ENDING_HPP_

#include <string>

#include "store/core/store.hpp"
#include "store/model/domain_row.hpp"

namespace xlstore {

/// Takes the domain's things with nodes of their own out of xenstore. Back ends are waited for, 10
/// seconds at most, all of them together; one of QEMU's that this destruction has ended is not, nor
/// one that no driver has taken up. A back end in a driver domain stays: that domain removes it.
/// Nothing is touched where xenstore has no such domain, or another one, or there is no xenstored;
/// so a toolstack may have taken all of it away itself. Nor where it has said that hotplug scripts
/// are its own to run: it then ends its devices itself. PCI devices in a list and USB ports are
/// the hypervisor's and their controller's part, and stay. Value: what history is to say of it.
/// Errors: io (xenstored does not answer, or refuses), timeout; entries and nodes are still there
/// then, as far as they were, and this may be called again.
/// REQUIRES that the destroy lock is held, and the domain is marked (R14). Needs no slow lock (R9).
Task<Result<std::string>> end_devices(Store& store, DomainRow domain, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_DEVICE_ENDING_HPP_
