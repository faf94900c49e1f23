// SPDX-License-Identifier: MIT
// The part of an operation that is not QEMU's, where a thing has more than one primary:
//
//   pcidevs          the hypervisor's assignment (the embedder's hook), and whose device it is in
//                    xenstore (store/operation/pci_owner.hpp)
//   disks (CD)       the medium in xenstore (store/operation/cd_nodes.hpp)
//   usbctrls, usbdevs, vcpus   libxl's nodes of them (store/operation/libxl_nodes.hpp)
//
// QEMU alone decides which image is there; the rest follows it, before the commit that closes the
// intent. What cannot follow keeps the intent open, but for libxl's nodes: nothing of the guest's
// depends on them, so that a failure is said, and xlfsck writes them (5029).
#ifndef XLSTORE_STORE_OPERATION_OTHER_PRIMARY_HPP_
#define XLSTORE_STORE_OPERATION_OTHER_PRIMARY_HPP_

#include <string>
#include <vector>

#include "store/core/store.hpp"
#include "store/event/task.hpp"
#include "store/model/domain_row.hpp"
#include "store/model/intent.hpp"
#include "store/qmp/protocol.hpp"

namespace xlstore {

/// Adds to the plan what others than QEMU have to do, in libxl's order. Errors, with nothing
/// changed: io (there is a xenstored, and it could not be looked at), protocol.
Task<Result<void>> add_other_primaries(Store& store, DomainRow domain, Draft& draft,
                                       Deadline until);
/// Can they do it? For a plan that is going to be carried out. Error refused: nothing was changed.
Result<void> check_other_primaries(Store& store, const DomainRow& domain, const Draft& draft);

/// The hypervisor's part of a PCI device, by the embedder's hook. Error refused: its word, or there
/// is no hook.
Result<void> call_pci_hook(Store& store, const DomainRow& domain, bool assign, std::string address,
                           std::string json);
/// What is said of a device where there is no hook: refused, nothing was changed.
[[nodiscard]] Error pci_hook_absent(const DomainRow& domain, const ThingName& thing);

/// Carries out a step that is not QEMU's. Its answer as QEMU would give one: a refusal has what was
/// said in error_desc.
Task<Result<qmp::Reply>> carry_out_elsewhere(Store& store, DomainRow domain, Command command,
                                             Deadline until);

/// How the image of the intents is known.
enum class Known { by_plan, by_looking };

/// Brings the other primaries to `image`, which QEMU showed of `intents` (one, or a batch). Value:
/// what is to be said of it in the evidence, or "". Error: it is not done, and the intents stay
/// open; a later settle does it. `intents` must outlive the task.
Task<Result<std::string>> follow_image(Store& store, DomainRow domain,
                                       const std::vector<Intent>& intents, Image image, Known known,
                                       Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_OTHER_PRIMARY_HPP_
