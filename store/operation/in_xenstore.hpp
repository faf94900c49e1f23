// SPDX-License-Identifier: MIT
// One operation on a thing whose primary is xenstore. Its thing lock is the fast lock (R3), and it
// has no intent: the entry is the record.
//
//   attach   slow lock, if a hotplug script is to run {
//              fast lock { the device is not there -> entry, committed
//                          -> its nodes, one transaction }
//              the back end is set up (state 2) -> the script }
//   detach   fast lock { entry 'removing', committed -> online 0, state 5 }
//            the back end closes (state 6), or goes; without a lock, until the deadline
//            slow lock { the script, if there is one }
//            fast lock { its nodes, one transaction -> the entry goes }
//
// So nothing is in xenstore without an entry (R1, R4, R5), wherever the process dies. A transaction
// that another client's change made fail is done again, until the deadline.
//
// Three outcomes (R18). Not done: the daemon said so, or the connection ended before the commit was
// sent; the entry is as it was. In doubt: the daemon fell silent over the commit, and asked once
// more over another connection it did not say either; or the guest has not let go ("asked, waiting
// for the guest"): the entry stays, and the same request goes on where this one ended. There is no
// intent, hence no number.
//
// Where a device has a hotplug script, it is run behind the nodes' transaction, and before they are
// taken away (store/operation/hotplug.hpp). PCI devices of a PV domain are a list
// (xenstore_pci.hpp), its USB devices nodes of their controller (xenstore_port.hpp), the medium of
// a CD drive is two nodes of the drive's (xenstore_medium.hpp).
//
// An absent device is believed only after its node was written and removed once: the daemon may
// still have the commit of a client that is dead, and that fails then.
#ifndef XLSTORE_STORE_OPERATION_IN_XENSTORE_HPP_
#define XLSTORE_STORE_OPERATION_IN_XENSTORE_HPP_

#include <string>

#include "store/core/store.hpp"
#include "store/event/loop.hpp"
#include "store/event/task.hpp"
#include "store/model/domain_row.hpp"
#include "store/operation/outcome.hpp"
#include "store/operation/request.hpp"

namespace xlstore {

/// Is what `request` is about xenstore's in this domain? Of an attach its JSON says it, else the
/// entry. False also for what cannot be told: the other way then names the error.
[[nodiscard]] bool is_in_xenstore(Db& db, const DomainRow& domain, const Request& request);

/// Carries out a request for which is_in_xenstore() holds. Errors: invalid, exists (in xenstore, by
/// name), not_found, refused (another domain of that number; the daemon, a script or the
/// hypervisor's part said no), gone, timeout, io (could not look: nothing was changed), in_doubt.
Task<Result<Done>> perform_in_xenstore(Store& store, DomainRow domain, Request request,
                                       Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_IN_XENSTORE_HPP_
