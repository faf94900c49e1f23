// SPDX-License-Identifier: MIT
// Edits of a domain's document under the fast lock: its skeleton, and the things whose thing lock
// is the fast lock (R3). Things of QEMU are not touched: they change by intents alone, so that a
// document that is written back can neither lose nor forge a pending one. All are refused for a
// domain that is destroyed or being destroyed (R8), and advance the document's revision, but not
// the epoch: a slow hold does not mind them (R6).
#ifndef XLSTORE_STORE_OPERATION_EDIT_HPP_
#define XLSTORE_STORE_OPERATION_EDIT_HPP_

#include <cstdint>
#include <string>
#include <string_view>

#include "store/core/domain.hpp"
#include "store/core/store.hpp"
#include "store/database/db.hpp"
#include "store/model/document.hpp"

namespace xlstore {

/// Writes the members of a document that has none in the store.
void insert_members(Db& db, DomainId domain, const std::vector<DocumentMember>& members);

/// What stands before each change of a document, in its own section: R8, and the revision if one is
/// expected (0: any). The new revision. Errors: gone; conflict, naming both revisions.
Result<std::int64_t> advance_revision(Store& store, const FastHold& fast, std::int64_t expected);
/// The same before an edit of what the domain has. Error besides: refused, the document is closed.
Result<std::int64_t> begin_edit(Store& store, const FastHold& fast, std::int64_t expected);

/// Error exists, naming it: another domain of the store, living or being destroyed, has that name.
/// REQUIRES a transaction that writes it.
Result<void> check_name_is_free(Db& db, DomainId domain, const std::string& name);

/// Writes a whole document back. A thing of the fast lock that it lacks goes (R5: a client that
/// holds the fast lock has seen it absent, or takes it away afterwards never to look again). Each
/// array gets the order that the document has; an element without identity is the entry with its
/// text, or the one in its place between such, so that writing a document twice changes nothing the
/// second time. b_info.avail_vcpus stays with the entries of class vcpus, where there are any.
/// Errors: invalid, another uuid; exists, another domain has its new name; refused, another type of
/// the domain or of a USB controller would make xenstore's what is in QEMU, or QEMU's what is in
/// xenstore. REQUIRES begin_edit().
Result<void> write_document(Store& store, const FastHold& fast, const Document& document);

/// Adds or replaces one thing of the fast lock. One without identity is always another one, with a
/// key of its own that no element of this incarnation ever had. `operation` is what history calls
/// it. Errors: invalid; refused, it is a thing of QEMU, or a USB controller that would make
/// xenstore's what is in QEMU.
Result<void> put_thing(Store& store, const FastHold& fast, std::string_view device_class,
                       std::string_view json, std::string_view operation = "put thing");
/// Takes its entry away. Errors: not_found; refused, it is a thing of QEMU.
Result<void> remove_thing(Store& store, const FastHold& fast, const ThingName& thing,
                          std::string_view operation = "remove thing");

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_EDIT_HPP_
