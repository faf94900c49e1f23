// SPDX-License-Identifier: MIT
#include "store/listener.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "store/error.hpp"
#include "store/fd.hpp"
#include "store/lock_file.hpp"

namespace xlstore {

std::optional<pid_t> who_listens(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path || !file_identity(path)) return std::nullopt;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) throw IoError(errno, "cannot create a socket");
    ucred peer{};
    socklen_t size = sizeof peer;
    const int rc =
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (rc != 0 && errno != EAGAIN) return std::nullopt;
    if (rc != 0) return 0;  // it lives, its accept queue is full
    if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        throw IoError(errno, "cannot ask for the peer of a socket");
    return peer.pid;
}

}  // namespace xlstore
