// SPDX-License-Identifier: MIT
// A row of which one column is damaged. The rest of it is true: what cannot be is taken from
// another witness (an index, the document), or replaced by what says the least, never by what says
// that something is gone. Pure functions.
#ifndef XLSTORE_RECOVERY_SALVAGE_MENDED_ROW_HPP_
#define XLSTORE_RECOVERY_SALVAGE_MENDED_ROW_HPP_

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "recovery/salvage/row.hpp"
#include "store/model/plan.hpp"

namespace xlstore::recovery {

/// What else tells of a domain.
struct DomainWitness {
    std::optional<std::string> index_uuid;
    std::optional<std::int64_t> index_domid;  ///< of the index of those that are not destroyed
    bool index_of_living = false;             ///< that index could be read
    std::optional<std::int64_t> history_domid;  ///< of the last line of history that has one
    std::optional<std::string> document_uuid;
    std::optional<std::string> document_name;
    std::string boot_id;  ///< of the kernel that runs
    std::set<std::string> known_boots;  ///< that rows name whole
    std::int64_t above = 1;  ///< an epoch and a revision that no domain had (R17)
};
/// No boot of a host is called so: it is no uuid, or that of the kernel that runs, but for a
/// character or two.
[[nodiscard]] bool is_damaged_boot(const std::string& boot, const std::string& now);
/// Mends a row of `domain`; each column that was mended, and what was taken.
std::vector<std::string> mend_domain(Row& row, const DomainWitness& witness);

/// What else tells of a thing.
struct ThingWitness {
    std::optional<std::int64_t> index_domain;  ///< this and the next two by the same index entry
    std::string index_class = {};
    std::string index_key = {};
    std::optional<std::int64_t> other_domain = {};  ///< by another index, its intent or a product
    bool has_own_domain = true;  ///< the domain that the row names is there, and not over
    bool may_be_moved = true;    ///< that of the index is, and has no other thing of this name
    std::string operation = {};             ///< of its open intent; "": it has none
    std::optional<std::string> image = {};  ///< the text that its open intent has
    std::vector<Product> products = {};     ///< what it was made of in QEMU
};
/// Mends a row of `thing`; as above.
std::vector<std::string> mend_thing(Row& row, const ThingWitness& witness);

/// Mends the key of a row of `document_member`, which is spelled as its index has it. False: it is
/// as it was.
bool mend_member(Row& row, const std::string& index_key);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_MENDED_ROW_HPP_
