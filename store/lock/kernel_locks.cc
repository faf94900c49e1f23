// SPDX-License-Identifier: MIT
// /proc/locks is one line a lock, read in one piece. A line with "->" is a process that waits.
#include "store/lock/kernel_locks.hpp"

#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <string>

#include "store/text/number_text.hpp"

namespace xlstore {

namespace {

constexpr const char* kList = "/proc/locks";

}  // namespace

// 2: OFDLCK ADVISORY  WRITE -1 fe:00:11076070 8796093022208 8796093022208
std::vector<LockedRange> locked_ranges(std::string_view text, std::uint64_t inode)
{
    std::vector<LockedRange> ranges;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string number, kind, advisory, mode, pid, file, first, last;
        words >> number >> kind >> advisory >> mode >> pid >> file >> first >> last;
        std::uint64_t its_inode = 0;
        LockedRange range;
        if (kind == "->" ||
            !parse_number(std::string_view(file).substr(file.rfind(':') + 1), its_inode) ||
            its_inode != inode || !parse_number(first, range.first))
            continue;
        // EOF.
        if (!parse_number(last, range.last)) range.last = std::numeric_limits<std::int64_t>::max();
        ranges.push_back(range);
    }
    return ranges;
}

Result<std::vector<LockedRange>> locked_ranges(std::uint64_t inode)
{
    std::ifstream file(kList);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file.is_open() || file.bad())
        return Error(Errc::io,
                     std::string(kList) +
                         " cannot be read: which locks are held is not "
                         "known",
                     "run as the owner of the store");
    return locked_ranges(text, inode);
}

}  // namespace xlstore
