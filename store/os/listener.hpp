// SPDX-License-Identifier: MIT
// Which process is at the other end of a Unix socket, as the kernel has it. A path proves nothing
// (R11): another process may have bound it anew, and file systems give inode numbers out again.
#ifndef XLSTORE_STORE_OS_LISTENER_HPP_
#define XLSTORE_STORE_OS_LISTENER_HPP_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "store/base/error.hpp"

namespace xlstore {

/// Who listens at the socket `path`: a pid; 0 when some process has it or may have it and cannot be
/// asked now (a full queue, a socket of another type, no permission); nothing: the kernel says that
/// no process listens there, or that nothing is there. Connects, and sends nothing. It does not
/// prove which program the process runs. @throws IoError
[[nodiscard]] std::optional<pid_t> who_listens(const std::string& path);

/// R11: does the process `pid` hold the other end of `socket`, which is connected? Asked of the
/// kernel: sock_diag names the inode of the other end, /proc/PID/fd the sockets that the process
/// holds. True only once the other side has accepted. The caller has to know that `pid` still
/// belongs to the process that is meant. Others may hold the same end as well.
/// Error io: the kernel does not say (no unix_diag; /proc/PID/fd is not to be read by this user).
[[nodiscard]] Result<bool> holds_other_end(int socket, std::int64_t pid);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_LISTENER_HPP_
