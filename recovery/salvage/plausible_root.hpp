// SPDX-License-Identifier: MIT
// Where the roots of tables and indexes are: by what can be read of the schema, or guessed.
#ifndef XLSTORE_RECOVERY_SALVAGE_PLAUSIBLE_ROOT_HPP_
#define XLSTORE_RECOVERY_SALVAGE_PLAUSIBLE_ROOT_HPP_

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "recovery/salvage/pages.hpp"

namespace xlstore::recovery {

struct TreeShape {
    bool of_index = false;  ///< its pages are those of an index; a table WITHOUT ROWID has them too
    std::size_t least = 1;  ///< values in a record: fewer in a row that is older than a column
    std::size_t most = 1;
};
/// Pure. False: the page is no root of such a tree, or the first record below it has another
/// number of values. A tree that has none, or whose first leaf is damaged, contradicts nothing.
[[nodiscard]] bool is_plausible_root(const Pages& pages, std::uint32_t root,
                                     const TreeShape& shape);

/// By the names of tables and indexes, from each page that has rows of the schema, whether its tree
/// leads there or not: a root stays where it is until the whole file is written anew. What two
/// names have, or one name twice, is not believed. Pure.
[[nodiscard]] std::map<std::string, std::uint32_t> told_roots(const Pages& pages);

/// Gives each table and index a root of its own, since SQLite refuses a schema in which two have
/// one.
class Roots {
public:
    /// `pages` has to outlive this; `told`: told_roots() of the file before its schema was made
    /// anew.
    Roots(const Pages& pages, std::map<std::string, std::uint32_t> told);

    /// Where the schema says, or else where a new store has it (`usual`); 0: neither can be.
    std::uint32_t of(const std::string& name, std::int64_t usual, const TreeShape& shape);

private:
    bool take(std::uint32_t root, const TreeShape& shape);

    const Pages& pages_;
    std::map<std::string, std::uint32_t> told_;
    std::set<std::uint32_t> named_;
    std::set<std::uint32_t> taken_;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_PLAUSIBLE_ROOT_HPP_
