// SPDX-License-Identifier: MIT
// A PCI device of a PV or PVH domain: libxl's list below backend/pci is its primary, and the back
// end's own word. The hypervisor's part is the embedder's hook; the owner's node goes with it.
//
//   attach   slow lock { the back end is connected, if there is one
//              fast lock { not in the list -> entry, committed -> owner -> hook -> the list } }
//   detach   slow lock { the back end is connected
//              fast lock { entry 'removing', committed -> state-N 5, state 7 }
//              the back end is connected again: the guest has let go
//              fast lock { out of the list -> hook -> owner -> the entry goes } }
//
// The slow lock is what the hook is promised. The fast lock is held over the hook as well: from the
// entry's commit to the list nothing of another process may come between (R4).
#ifndef XLSTORE_STORE_OPERATION_XENSTORE_PCI_HPP_
#define XLSTORE_STORE_OPERATION_XENSTORE_PCI_HPP_

#include "store/operation/outcome.hpp"
#include "store/operation/xenstore_work.hpp"

namespace xlstore {

/// Carries out work.request, on a thing of class pcidevs. Errors: those of perform_in_xenstore(),
/// and refused: no hook, not assignable, another domain's.
Task<Result<Done>> attach_pci_in_xenstore(XenstoreWork& work);
Task<Result<Done>> detach_pci_in_xenstore(XenstoreWork& work);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_XENSTORE_PCI_HPP_
