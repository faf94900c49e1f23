// SPDX-License-Identifier: MIT
// A document that is closed for a time, as a rule that of a migration: what the other side was told
// of the domain has to stay true until it has taken over. While it is closed nothing is attached,
// detached, inserted, ejected, edited, and its QEMU is not replaced: commit 1 refuses it, and so
// does the schema. Destruction and recovery do not ask. A new name does not change what QEMU has,
// and passes: a migration ends with one.
//
// It stays closed when its closer dies: only a person or a toolstack knows whether the
// migration is over. xlfsck says that it is closed, by whom, and how it is opened.
#ifndef XLSTORE_STORE_OPERATION_CLOSING_HPP_
#define XLSTORE_STORE_OPERATION_CLOSING_HPP_

#include <optional>
#include <string>
#include <vector>

#include "store/core/domain.hpp"
#include "store/core/store.hpp"

namespace xlstore {

/// Error busy, naming it: an intent is open (its number), or a thing is being removed from
/// xenstore. What has to be told another host of the domain is not known then.
Result<void> check_nothing_under_way(Db& db, const DomainRow& domain);

/// What closing one found out.
struct Closed {
    DomainRow domain;
    std::vector<std::string> notes;  ///< things of which QEMU could not be asked where they are
};

/// Closes the document of a running domain; operations on QEMU under way come first (the slow lock,
/// and libxl's locks where libxl owns its QEMU), and none may be left open. Asks QEMU where those
/// of its things are of which that is not known yet, so that they can be put at the same place
/// elsewhere. `reason`: UTF-8, one line, not empty. Errors: invalid (reason); busy, as
/// check_nothing_under_way(); timeout; refused (it is closed already, or being created); gone;
/// lost.
Task<Result<Closed>> close_document(Store& store, DomainRow domain, std::string reason,
                                    Deadline until);
/// Opens it, also for another process than its closer. Errors: refused (it is open); gone; timeout.
Task<Result<DomainRow>> reopen_document(Store& store, DomainRow domain, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_CLOSING_HPP_
