// SPDX-License-Identifier: MIT
// Taking over a domain that another toolstack made and goes on with: its document and its QEMU come
// into the store in one call, and nothing that changes QEMU is sent (R19).
#ifndef XLSTORE_STORE_LIFECYCLE_ADOPTION_HPP_
#define XLSTORE_STORE_LIFECYCLE_ADOPTION_HPP_

#include <cstdint>
#include <optional>
#include <string>

#include "store/core/store.hpp"
#include "store/lifecycle/registration.hpp"

namespace xlstore {

struct Adoption {
    std::int64_t domid;
    std::string document;
    std::string what;          ///< what messages call the document
    std::optional<std::string> monitor_path;  ///< absolute; nothing: the domain has no QEMU
};

/// The document is imported, if no living row has its domid and uuid, and the QEMU registered as
/// register_qemu() does; one that is registered already stays as it is, if it is at that monitor. A
/// row of that domid with another uuid, or of an older boot, is an earlier life of the domid: it is
/// archived, if it is proved over: of another boot, its QEMU dead, or, where it has none, xenstored
/// names no domain of that number or another one. So is the row of another domid that has the
/// document's name, where xenstored does not know that domain and no QEMU of it lives; or that is
/// of an older boot and has its name or uuid. Before that, the monitor that was named has to
/// answer; then the slow lock of that row is taken, and a row that another process goes on with is
/// judged anew.
/// A row that is there as its import made it, and is to have no QEMU, gets a line of history:
/// another adoption, which imported it, does not take it back then. One whose import is taken back
/// meanwhile is imported anew.
/// What fails leaves no row that was not there before; what was archived its message names.
/// Errors: as of import_domain() and register_qemu(); exists (an earlier life is not known to be
/// over, or another monitor is registered); conflict (it is being created); gone (it is being
/// destroyed); unfinished (the import could not be taken back, or what is over not be archived to
/// its end: the same call goes on).
/// Cancelled once it has changed something: unfinished.
Task<Result<Registered>> adopt_domain(Store& store, Adoption adoption, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_ADOPTION_HPP_
