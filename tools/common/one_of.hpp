// SPDX-License-Identifier: MIT
// Pure; any thread.
#ifndef XLSTORE_TOOLS_COMMON_ONE_OF_HPP_
#define XLSTORE_TOOLS_COMMON_ONE_OF_HPP_

#include <algorithm>
#include <initializer_list>
#include <string_view>

namespace xlstore::tools {

[[nodiscard]] inline bool is_one_of(std::string_view word,
                                    std::initializer_list<std::string_view> words)
{
    return std::ranges::find(words, word) != words.end();
}

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_ONE_OF_HPP_
