// SPDX-License-Identifier: MIT
// Tables: columns aligned by the width that text has on a terminal, two blanks between them.
#ifndef XLSTORE_TOOLS_COMMON_TABLE_HPP_
#define XLSTORE_TOOLS_COMMON_TABLE_HPP_

#include <string>
#include <vector>

#include "tools/common/screen.hpp"

namespace xlstore::tools {

using Cells = std::vector<std::string>;

/// "NAME  value", one below the other, no wider than `columns`: a value goes on below itself, or
/// stands below its name where there is no room beside it.
[[nodiscard]] std::vector<std::string> record_lines(const Cells& names, const Cells& values,
                                                    std::size_t columns);
/// Its lines; none without rows. Where it goes to a terminal and is too wide for it, the last
/// column is broken into lines of its own below itself; if that leaves too little room, each row is
/// shown as a block of "NAME  value" lines. Elsewhere a row is one line, for programs.
[[nodiscard]] std::vector<std::string> table_lines(const Cells& head,
                                                   const std::vector<Cells>& rows,
                                                   const Screen& where);
/// Prints it, through a pager where it is longer than the terminal.
void print_table(const Cells& head, const std::vector<Cells>& rows);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_TABLE_HPP_
