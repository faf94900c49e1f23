// SPDX-License-Identifier: MIT
// Where the socket of a registered QEMU is, where the path in its row was damaged.
#ifndef XLSTORE_RECOVERY_SALVAGE_REGISTERED_SOCKET_HPP_
#define XLSTORE_RECOVERY_SALVAGE_REGISTERED_SOCKET_HPP_

#include <sys/types.h>

#include <optional>
#include <string>

#include "store/base/file_identity.hpp"

namespace xlstore::recovery {

/// What a row says of its QEMU's monitor.
struct RegisteredSocket {
    std::string path;
    FileIdentity file;
    pid_t qemu = 0;
};
/// The registered socket below `run`, at which that QEMU listens: an inode alone may have been
/// given out again. Nothing: the row's path leads to a file, or that socket is not found or could
/// not be looked at, which proves nothing of the path. Connects to a socket of that inode, and
/// sends nothing.
[[nodiscard]] std::optional<std::string> moved_socket(const std::string& run,
                                                      const RegisteredSocket& registered);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_REGISTERED_SOCKET_HPP_
