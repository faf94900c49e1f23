// SPDX-License-Identifier: MIT
// The byte-range locks on a file by the kernel's list, /proc/locks: for those who may not open it.
// The list names no holder of a lock on an open file description.
#ifndef XLSTORE_STORE_LOCK_KERNEL_LOCKS_HPP_
#define XLSTORE_STORE_LOCK_KERNEL_LOCKS_HPP_

#include <cstdint>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"

namespace xlstore {

struct LockedRange {
    std::int64_t first = 0;
    std::int64_t last = 0;
};

/// The ranges of `text`, written as /proc/locks is, of files with that inode. The device is not
/// compared: some file systems show another one there than stat(2) does, and to call a lock held
/// that is not does less harm than the other way round. Waiters are omitted.
[[nodiscard]] std::vector<LockedRange> locked_ranges(std::string_view text, std::uint64_t inode);

/// The same of the kernel's list as it is now. Error io: it cannot be read.
Result<std::vector<LockedRange>> locked_ranges(std::uint64_t inode);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LOCK_KERNEL_LOCKS_HPP_
