// SPDX-License-Identifier: MIT
#include "tools/common/byte_count.hpp"

#include <array>
#include <cstdio>

namespace xlstore::tools {

std::string byte_count(std::uint64_t bytes)
{
    constexpr std::array units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    auto number = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (number >= 1024 && unit + 1 < units.size()) {
        number /= 1024;
        ++unit;
    }
    std::array<char, 40> text{};
    (void)std::snprintf(text.data(), text.size(), unit > 0 && number < 10 ? "%.1f %s" : "%.0f %s",
                        number, units[unit]);
    return text.data();
}

}  // namespace xlstore::tools
