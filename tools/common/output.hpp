// SPDX-License-Identifier: MIT
// What both tools print: errors in one manner, tables, and JSON. Results go to standard output,
// messages to standard error.
#ifndef XLSTORE_TOOLS_COMMON_OUTPUT_HPP_
#define XLSTORE_TOOLS_COMMON_OUTPUT_HPP_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/error.hpp"

namespace xlstore::tools {

/// Exit status of `xlstore`.
enum class Status { done = 0, refused = 1, usage = 2, in_doubt = 3, not_found = 4 };
[[nodiscard]] Status status_of(const Error& error);

/// "xlstore: message" and a line of advice.
void print_error(std::string_view program, const Error& error);

/// Columns aligned, two blanks between them; nothing at all without rows.
void print_table(const std::vector<std::string>& head,
                 const std::vector<std::vector<std::string>>& rows);

/// Text from outside (names, QEMU's words in evidence) without control characters.
[[nodiscard]] std::string plain(std::string_view text);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_OUTPUT_HPP_
