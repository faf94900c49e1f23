// SPDX-License-Identifier: MIT
#include "store/base/dated_path.hpp"

#include <array>
#include <ctime>

#include "store/base/file_identity.hpp"

namespace xlstore {

std::string dated_path(const std::string& stem)
{
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&now, &utc);
    std::array<char, 32> text{};
    (void)std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &utc);
    const std::string plain = stem + text.data();
    std::string path = plain;
    for (int again = 2; file_identity(path) || file_identity(path + "-wal"); ++again)
        path = plain + "-" + std::to_string(again);
    return path;
}

}  // namespace xlstore
