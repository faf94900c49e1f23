// SPDX-License-Identifier: MIT
// How many descriptors this process has.
#ifndef XLSTORE_TESTS_SUPPORT_OPEN_DESCRIPTORS_HPP_
#define XLSTORE_TESTS_SUPPORT_OPEN_DESCRIPTORS_HPP_

#include <filesystem>
#include <iterator>

namespace xlstore::test {

/// Counted always with the one that it takes to count them.
inline std::ptrdiff_t open_descriptors()
{
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
}

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_OPEN_DESCRIPTORS_HPP_
