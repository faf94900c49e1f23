// SPDX-License-Identifier: MIT
// The size of a database's pages, which its header says, and what is on its pages shows.
#ifndef XLSTORE_RECOVERY_SALVAGE_PAGE_SIZE_HPP_
#define XLSTORE_RECOVERY_SALVAGE_PAGE_SIZE_HPP_

#include <cstddef>
#include <optional>
#include <string_view>

namespace xlstore::recovery {

/// Pure. That with which most pages of trees add up; where none do, or as many with another, the
/// header's, and without one that of every store. `log`: what the log proves of itself, which
/// needs no other witness.
[[nodiscard]] std::size_t page_size_of(std::string_view database, std::optional<std::size_t> log);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_PAGE_SIZE_HPP_
