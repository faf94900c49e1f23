// SPDX-License-Identifier: MIT
// Who is connected to a Unix socket that another process serves: for the message that says why it
// stays silent to us. The kernel tells by sock_diag which sockets the listener has accepted and
// which sockets their peers are, and /proc which processes have those open.
#ifndef XLSTORE_STORE_OS_SOCKET_CLIENTS_HPP_
#define XLSTORE_STORE_OS_SOCKET_CLIENTS_HPP_

#include <cstddef>
#include <optional>
#include <string>

#include "store/os/open_files.hpp"

namespace xlstore {

struct SocketClients {
    std::size_t connections = 0;  ///< that were accepted, our own not counted
    FileSearch processes;         ///< that have one of them open, as far as /proc shows
};

/// The clients of the socket at `path`, but for our own connection `own`; the search for their
/// processes has not begun. A connection that waits in the accept queue is no client yet, and those
/// of another network namespace are not seen. Nothing: the kernel does not say.
[[nodiscard]] std::optional<SocketClients> clients_of_socket(const std::string& path, int own);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_SOCKET_CLIENTS_HPP_
