// SPDX-License-Identifier: MIT
// Text by the columns that it takes on a terminal. UTF-8; a byte that is none counts as one column.
#ifndef XLSTORE_TOOLS_COMMON_DISPLAY_WIDTH_HPP_
#define XLSTORE_TOOLS_COMMON_DISPLAY_WIDTH_HPP_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace xlstore::tools {

/// Columns; escape sequences that set a colour take none.
[[nodiscard]] std::size_t display_width(std::string_view text);
/// `text` with blanks behind it, up to `columns`.
[[nodiscard]] std::string padded(std::string_view text, std::size_t columns);
/// At most `columns` wide: what does not fit is replaced by "…".
[[nodiscard]] std::string cut_to(std::string_view text, std::size_t columns);
/// Lines of at most `columns`, broken between words; a longer word is broken in itself. At least
/// one line.
[[nodiscard]] std::vector<std::string> wrapped(std::string_view text, std::size_t columns);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_DISPLAY_WIDTH_HPP_
