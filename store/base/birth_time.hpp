// SPDX-License-Identifier: MIT
// When a file was made. A file system gives the number of an inode that was removed to the next
// file that is made, so that the number alone does not tell a file from one that took its place.
#ifndef XLSTORE_STORE_BASE_BIRTH_TIME_HPP_
#define XLSTORE_STORE_BASE_BIRTH_TIME_HPP_

#include <cstdint>
#include <string>

namespace xlstore {

/// Nanoseconds since 1970 UTC; 0: this file system does not tell, or there is no such file.
/// Opens nothing.
[[nodiscard]] std::int64_t birth_time(const std::string& path);
/// The same of an open file.
[[nodiscard]] std::int64_t birth_time(int fd);
/// Of two times, each of which may not be known: they can be those of one file.
[[nodiscard]] constexpr bool may_be_same_birth(std::int64_t a, std::int64_t b)
{
    return a == 0 || b == 0 || a == b;
}

}  // namespace xlstore

#endif  // XLSTORE_STORE_BASE_BIRTH_TIME_HPP_
