// SPDX-License-Identifier: MIT
// Where the socket of a registered QEMU is, where the path in its row was damaged.
#ifndef XLSTORE_RECOVERY_SALVAGE_REGISTERED_SOCKET_HPP_
#define XLSTORE_RECOVERY_SALVAGE_REGISTERED_SOCKET_HPP_

#include <cstdint>
#include <optional>
#include <string>

namespace xlstore::recovery {

/// Looks below `run` for the registered socket, by its device and inode. Nothing: `path` leads to a
/// file, or that socket is not there, which proves nothing of the path. @throws nothing
[[nodiscard]] std::optional<std::string> moved_socket(const std::string& run,
                                                      const std::string& path, std::int64_t device,
                                                      std::int64_t inode);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_REGISTERED_SOCKET_HPP_
