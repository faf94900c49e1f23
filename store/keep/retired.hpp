// SPDX-License-Identifier: MIT
// Documents of incarnations that are over (R22): written by the transaction that takes the document
// away, and read back until they are pruned (store/keep/prune.hpp).
#ifndef XLSTORE_STORE_KEEP_RETIRED_HPP_
#define XLSTORE_STORE_KEEP_RETIRED_HPP_

#include <string>
#include <string_view>
#include <vector>

#include "store/core/domain.hpp"
#include "store/database/db.hpp"

namespace xlstore {

/// Copies the document of `domain` and what belongs beside it. A document without members leaves no
/// copy, and one that is there already (put there by hand) stays. REQUIRES the transaction that
/// removes the document. @throws DbError
void keep_document(Db& db, const DomainRow& domain, std::string_view why);

struct RetiredDocument {
    DomainId id{};
    std::string text;  ///< as libxl would write it, byte for byte, without the NUL that libxl adds
    std::string things;            ///< as outgoing_document() gives them; "": there were none
    std::vector<DomainId> others;  ///< further ones that the word fits, the newest first
};
/// The newest that `word` fits, as find_incarnation() reads it. Error: not_found.
Result<RetiredDocument> find_retired(Db& db, std::string_view word);

}  // namespace xlstore

#endif  // XLSTORE_STORE_KEEP_RETIRED_HPP_
