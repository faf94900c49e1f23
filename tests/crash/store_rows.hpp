// SPDX-License-Identifier: MIT
// What a store holds, domain by domain, as text to be compared: without what differs between two
// runs of one operation.
#ifndef XLSTORE_TESTS_CRASH_STORE_ROWS_HPP_
#define XLSTORE_TESTS_CRASH_STORE_ROWS_HPP_

#include <map>
#include <string>

namespace xlstore::test {

/// What the store holds of one domain, or of none.
struct Part {
    std::string rows;
    std::string history;
    std::string copy;  ///< of its document, once it is destroyed

    bool operator==(const Part&) const = default;
};
/// By the domain's id; 0: what belongs to none. Empty: there is no store.
using Rows = std::map<int, Part>;

[[nodiscard]] Rows rows(const std::string& directory);
[[nodiscard]] std::string shown(const Rows& rows);

/// Do rows fit those after one commit? `full`: as far as a full disk allows it.
[[nodiscard]] bool fits(const Part& left, const Part& right, bool full);
[[nodiscard]] bool fit(const Rows& left, const Rows& right, bool full);
/// But for history and copies: these tell of each try.
[[nodiscard]] bool end_alike(const Rows& left, const Rows& right);

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_CRASH_STORE_ROWS_HPP_
