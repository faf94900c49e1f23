// SPDX-License-Identifier: MIT
// Reading a file that a person or another program named. What a path leads to is not known: a
// device never ends, a FIFO keeps its reader until a writer comes. Any thread.
#ifndef XLSTORE_STORE_OS_REGULAR_FILE_HPP_
#define XLSTORE_STORE_OS_REGULAR_FILE_HPP_

#include <cstddef>
#include <string>

#include "store/base/error.hpp"

namespace xlstore {

/// The whole of a regular file, as it is; never blocks on a file of another kind (R20).
/// Errors: invalid (it is no regular file, or has more than `bytes_max` bytes); io (it cannot be
/// opened or read).
Result<std::string> read_regular_file(const std::string& path, std::size_t bytes_max);

/// All that comes from `fd`, a pipe say, until its end. Errors as above.
Result<std::string> read_to_end(int fd, const std::string& name, std::size_t bytes_max);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_REGULAR_FILE_HPP_
