// SPDX-License-Identifier: MIT
// What checking and walking of JSON text share.
#ifndef XLSTORE_STORE_TEXT_JSON_SCAN_HPP_
#define XLSTORE_STORE_TEXT_JSON_SCAN_HPP_

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace xlstore {

inline bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/// The offset behind the string that begins at `begin`; no more than the size.
inline std::size_t skip_string(std::string_view text, std::size_t begin)
{
    std::size_t i = begin + 1;
    while (i < text.size() && text[i] != '"')
        i += text[i] == '\\' ? 2 : 1;
    return std::min(i + 1, text.size());
}

}  // namespace xlstore

#endif  // XLSTORE_STORE_TEXT_JSON_SCAN_HPP_
