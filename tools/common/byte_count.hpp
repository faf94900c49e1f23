// SPDX-License-Identifier: MIT
#ifndef XLSTORE_TOOLS_COMMON_BYTE_COUNT_HPP_
#define XLSTORE_TOOLS_COMMON_BYTE_COUNT_HPP_

#include <cstdint>
#include <string>

namespace xlstore::tools {

/// "512 B", "1.2 MiB": a number of bytes for people; three digits are enough.
[[nodiscard]] std::string byte_count(std::uint64_t bytes);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_BYTE_COUNT_HPP_
