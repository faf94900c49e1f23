// SPDX-License-Identifier: MIT
// Rows of domains and things, and how to find them. Reading only; one SQLite read
// transaction is an atomic look (R2).
#ifndef XLSTORE_STORE_CORE_DOMAIN_HPP_
#define XLSTORE_STORE_CORE_DOMAIN_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"
#include "store/core/rows_by_domain.hpp"
#include "store/database/db.hpp"
#include "store/model/document.hpp"
#include "store/model/domain_row.hpp"
#include "store/model/domain_traits.hpp"
#include "store/model/thing_row.hpp"

namespace xlstore {

/// The domain that `word` names: domid:7, name:web, uuid:… (vm_uuid if it has one), id:N (that
/// incarnation), or a bare word tried as domid, then uuid, then name; among those that are not
/// destroyed. Errors: not_found; invalid when a name or uuid fits several.
Result<DomainRow> find_domain(Db& db, std::string_view word);

struct FoundIncarnation {
    DomainRow row;
    std::vector<DomainId> others;  ///< further ones that the word names, the newest first
};
/// For questions about the past: the domain that find_domain() gives; where none fits, the newest
/// destroyed one, by domid, then uuid, then name; where none fits either, the domain that was last
/// renamed or preserved from that name. Errors: as find_domain().
Result<FoundIncarnation> find_incarnation(Db& db, std::string_view word);
/// An incarnation, destroyed or not.
std::optional<DomainRow> read_domain(Db& db, DomainId id);
/// Its row is gone, and its domain was not destroyed, by the word of history: an adoption that
/// failed took its import back, and the domain runs on. A row that was pruned was destroyed before.
bool was_taken_back(Db& db, DomainId id);
/// All that are not destroyed, by domid.
std::vector<DomainRow> living_domains(Db& db);

/// A key for an element without identity that none of this incarnation ever had (R16): "#7". It is
/// given when an entry with it is inserted. REQUIRES the fast lock until then.
std::string new_key(Db& db, DomainId domain);

std::optional<ThingRow> read_thing(Db& db, DomainId domain, const ThingName& name);
/// By class, each in the order of the document.
std::vector<ThingRow> read_things(Db& db, DomainId domain);
/// In the order in which they were made.
std::vector<ThingRow> read_things_as_made(Db& db, DomainId domain);

/// What its document says of where things are.
DomainTraits read_traits(Db& db, DomainId domain);

/// The document but for its things, in order.
std::vector<DocumentMember> read_members(Db& db, DomainId domain);
/// The same two, of all domains from `first` to `last`.
RowsByDomain<ThingRow> things_by_domain(Db& db, DomainId first, DomainId last);
RowsByDomain<DocumentMember> members_by_domain(Db& db, DomainId first, DomainId last);

/// The whole document, minified; as the view libxl_json has it.
std::string read_document(Db& db, DomainId domain);
/// Error store, naming it: the text of `what` (an entry, or a member of the document) is damaged.
Result<void> check_readable(const DomainRow& domain, const std::string& what,
                            const std::string& text);
/// The same of the first that is, of all that the domain has, and of the keys of members: the
/// document would be no JSON, or another one.
Result<void> check_readable(Db& db, const DomainRow& domain);
/// The document as libxl itself would write it, byte for byte, without the NUL that libxl adds.
/// Error store: as check_readable().
Result<std::string> export_document(Db& db, const DomainRow& domain);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_DOMAIN_HPP_
