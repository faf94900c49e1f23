// SPDX-License-Identifier: MIT
// What a domain is called. Its domid and its uuid (the hypervisor's handle, which c_info.uuid
// shows) are who it is, and never change: a destroyer that comes late finds it by them (R14). Its
// name may change while it lives, in row and document by one commit under the fast lock (R2); and
// so, when it is preserved, may the uuid that people find it by. No command acts by a name of old;
// find_incarnation() finds a renamed domain by it, for questions about the past.
#ifndef XLSTORE_STORE_OPERATION_IDENTITY_HPP_
#define XLSTORE_STORE_OPERATION_IDENTITY_HPP_

#include <cstdint>
#include <optional>
#include <string>

#include "store/core/domain.hpp"
#include "store/core/store.hpp"
#include "store/event/loop.hpp"
#include "store/event/task.hpp"

namespace xlstore {

/// Gives the domain another name, open intents or not; of the document only the text of
/// c_info.name changes. `old`: the name that it has to have still, as with libxl_domain_rename
/// (nothing: any); to name it as it is named already succeeds. `revision`: the one that the
/// document has to have (0: any).
/// Errors: invalid (no name); exists (another domain of the store has it, living or being
/// destroyed); conflict (its name or revision is another by now); gone (R8); timeout, lost.
Task<Result<DomainRow>> rename_domain(Store& store, DomainRow domain,
                                      std::optional<std::string> old, std::string name,
                                      std::int64_t revision, Deadline until);

/// Keeps a domain, as libxl_domain_preserve does for on_crash=rename-restart: its row, its QEMU and
/// its entries stay; it gets another name, and `vm_uuid` to be found by, so that name and uuid are
/// free for a domain that is created anew under another domid. The uuid itself stays, in row and
/// document: libxl, too, writes the new one to /vm in xenstore alone, and leaves the hypervisor's
/// handle. So a client that was told to destroy this domid and uuid before it was preserved still
/// finds it, and leaves no tombstone beside a living QEMU (R14). Errors: as for rename_domain();
/// exists also when a domain of the store has that uuid.
Task<Result<DomainRow>> preserve_domain(Store& store, DomainRow domain,
                                        std::optional<std::string> old, std::string name,
                                        std::string vm_uuid, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_IDENTITY_HPP_
