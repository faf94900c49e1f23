// SPDX-License-Identifier: MIT
// Which file a path leads to.
#ifndef XLSTORE_STORE_BASE_FILE_IDENTITY_HPP_
#define XLSTORE_STORE_BASE_FILE_IDENTITY_HPP_

#include <cstdint>
#include <optional>
#include <string>

namespace xlstore {

/// What stands behind a path: enough to see that it was moved away or replaced.
struct FileIdentity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    bool operator==(const FileIdentity&) const = default;
};
/// The file behind `path` now, without opening it; nothing when there is none.
[[nodiscard]] std::optional<FileIdentity> file_identity(const std::string& path);
/// The open one. Its dates are not asked for: a date that was, the kernel sets anew with the next
/// write, which costs more than the write.
[[nodiscard]] std::optional<FileIdentity> identity_of_open(int fd);

}  // namespace xlstore

#endif  // XLSTORE_STORE_BASE_FILE_IDENTITY_HPP_
