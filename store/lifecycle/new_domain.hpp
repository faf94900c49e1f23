// SPDX-License-Identifier: MIT
// The row and the document of a domain that comes into the store: by a creation, or as it runs
// elsewhere.
#ifndef XLSTORE_STORE_LIFECYCLE_NEW_DOMAIN_HPP_
#define XLSTORE_STORE_LIFECYCLE_NEW_DOMAIN_HPP_

#include <string>
#include <string_view>
#include <vector>

#include "store/core/store.hpp"
#include "store/model/document.hpp"
#include "store/model/domain_row.hpp"
#include "store/operation/migration.hpp"

namespace xlstore {

enum class Comes { by_import, by_creation };

/// A domain is found by uuid and by name: a second one of them would make both words useless. While
/// xl moves a domain within one host, it creates NAME--incoming of the same uuid, and renames the
/// old one to NAME--migratedaway. What is of an older boot is over, and a creation may come before
/// the recovery that retires it.
Result<void> check_no_other(Db& db, std::int64_t domid, const Document& document,
                            std::string_view what, Comes comes, const std::string& boot_id);

/// What came with a document from another store; "": nothing did.
Result<std::vector<CarriedThing>> carried_with(const std::string& things, const Document& document);

/// REQUIRES the writer lock: inserts the row and its document. Things are `entry_state`. Error:
/// exists (the domid is in use).
Result<DomainId> insert_domain(Store& store, std::int64_t domid, const Document& document,
                               DomainState state, std::string_view entry_state);

/// A document for a domain that runs elsewhere: running, no QEMU known. `things`: as above.
/// Error exists: the domid is in use; or another living domain has the document's uuid or name,
/// unless `also`: two domains of one uuid live while one moves to another on the same host.
Task<Result<DomainRow>> import_domain(Store& store, std::int64_t domid, std::string document,
                                      std::string what, Deadline until, std::string things = {},
                                      bool also = false);

/// Is the row, of a running domain without a QEMU, as its import made it? No process but the one
/// that imported it has written to it since.
bool is_as_imported(Db& db, DomainId id);

/// Takes back an import of a domain that runs on, without this store: the row goes whole, by one
/// commit, and history says why. An archived one would tell recovery that the domain is over.
/// Errors: conflict (the row is not as its import made it any more: another process goes on with
/// it); timeout, lost: the row is as it was.
Task<Result<void>> take_back_import(Store& store, DomainRow imported, std::string why,
                                    Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_NEW_DOMAIN_HPP_
