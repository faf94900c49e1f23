// SPDX-License-Identifier: MIT
// The document of a domain that moves to another store. While it moves, two QEMUs of one uuid live:
// each has its own row, with its own entries, and the invariant holds in each store by itself. What
// is called when: xlstore(1), Migration.
#ifndef XLSTORE_STORE_MIGRATION_HPP_
#define XLSTORE_STORE_MIGRATION_HPP_

#include <optional>
#include <string>
#include <vector>

#include "store/domain.hpp"

namespace xlstore {

struct OutgoingDocument {
    std::string text;  ///< as libxl would write it
    /// Entries that no document holds: whoever receives it has to give QEMU these things, too.
    std::vector<std::string> notes;
};

/// The document of what a running domain has, for a QEMU that takes its place: stale entries are
/// left out, since a creation would attach them there and the two QEMUs would differ. `name`: what
/// it is to be called there (as a rule NAME--incoming).
/// Errors: busy (an intent is open: what its thing is, is not known); invalid (no name);
/// no_qemu, gone (not running).
Result<OutgoingDocument> outgoing_document(Db& db, const DomainRow& domain,
                                           const std::optional<std::string>& name);

}  // namespace xlstore

#endif  // XLSTORE_STORE_MIGRATION_HPP_
