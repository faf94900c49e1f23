// SPDX-License-Identifier: MIT
// The document of a domain that moves to another store. While it moves, two QEMUs of one uuid live:
// each has its own row, with its own entries, and the invariant holds in each store by itself. What
// is called when: xlstore(1), Migration.
#ifndef XLSTORE_STORE_OPERATION_MIGRATION_HPP_
#define XLSTORE_STORE_OPERATION_MIGRATION_HPP_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/core/domain.hpp"
#include "store/database/db.hpp"
#include "store/model/document.hpp"

namespace xlstore {

struct OutgoingDocument {
    std::string text;  ///< as libxl would write it
    /// Things of QEMU's in the order in which they were made, with their places: what the document
    /// cannot say, and carried_things() reads. For the QEMU there to have the same devices at the
    /// same addresses.
    std::string things;
    /// Entries that no document holds: given without `things`, the receiver has to attach them.
    std::vector<std::string> notes;
    /// What `things` cannot say either: how an entry is made, or where QEMU put it.
    std::vector<std::string> unknown;
};

/// The document of what a running domain has, for a QEMU that takes its place: stale entries are
/// omitted, since a creation would attach them there and the two QEMUs would differ. `name`: what
/// it is to be called there (as a rule NAME--incoming).
/// A PV or PVH domain needs no QEMU: what it has is in xenstore.
/// Errors: busy (an intent is open: what its thing is, is not known); invalid (no name);
/// no_qemu, gone (not running).
Result<OutgoingDocument> outgoing_document(Db& db, const DomainRow& domain,
                                           const std::optional<std::string>& name);

/// `things` alone, of a domain in any state. @throws DbError
std::string carried_text(Db& db, const DomainRow& domain);

/// A thing of QEMU's that comes from another store, in the order in which those were made there.
struct CarriedThing {
    ThingName name;
    std::string json;     ///< of a thing that no document holds, minified; "": the document has it
    std::string address;  ///< by device id (store/qmp/address.hpp), minified; "": not known
};

/// Reads what outgoing_document() wrote as `things`:
///   {"format": "xlstore things 1", "uuid": "…", "things": [
///      {"class": "usbctrls", "key": "0", "address": {"xenusb-0": {"bus": "pci.0", "addr":
///      "04.0"}}},
///      {"class": "qemu", "key": "tablet", "thing": {…}, "address": {…}}, …]}
/// Error invalid, naming the thing: another format; of another domain than `document`; a thing
/// twice, of no class that QEMU has, that the document should have and has not, or that could not
/// be attached.
Result<std::vector<CarriedThing>> carried_things(std::string_view text, const Document& document);

/// Writes them beside the document of a row that was just made: its own things get order and
/// address, the others become entries of state `entry_state`. REQUIRES carried_things().
void insert_carried(Db& db, DomainId domain, const std::vector<CarriedThing>& things,
                    std::string_view entry_state);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_MIGRATION_HPP_
