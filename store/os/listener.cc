// SPDX-License-Identifier: MIT
// who_listens() connects, since a connection that the kernel refuses is its word that no process
// has the socket, and asks for the peer's credentials. holds_other_end() asks sock_diag for the
// inode of the peer of a connection, and looks for it among the descriptors of the process in
// /proc.
#include "store/os/listener.hpp"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "store/base/fd.hpp"

namespace xlstore {

namespace {

Error cannot_ask(const std::string& what)
{
    return Error(
        Errc::io,
        "the kernel cannot be asked who holds a socket: " + what + ": " + errno_text(errno),
        "sock_diag (CONFIG_UNIX_DIAG) is needed, and the right to read /proc/PID/fd");
}

// The inode of the socket that `socket` is connected to; 0: it has not been accepted.
Result<std::uint32_t> other_end_of(int socket)
{
    struct stat st {};
    if (fstat(socket, &st) != 0) return cannot_ask("fstat");
    const Fd diag(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG));
    if (!diag) return cannot_ask("netlink");
    struct {
        nlmsghdr header;
        unix_diag_req request;
    } question{};
    question.header.nlmsg_len = sizeof question;
    question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    question.header.nlmsg_flags = NLM_F_REQUEST;
    question.request.sdiag_family = AF_UNIX;
    question.request.udiag_states = ~0U;
    question.request.udiag_ino = static_cast<std::uint32_t>(st.st_ino);
    question.request.udiag_show = UDIAG_SHOW_PEER;
    question.request.udiag_cookie[0] = question.request.udiag_cookie[1] = ~0U;
    // Netlink answers within the call that asks: what is read next is there already.
    if (::send(diag.get(), &question, sizeof question, 0) < 0) return cannot_ask("sock_diag");
    alignas(nlmsghdr) std::array<char, 1024> answer{};
    const auto size = ::recv(diag.get(), answer.data(), answer.size(), 0);
    if (size < 0) return cannot_ask("sock_diag");
    const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data());
    if (!NLMSG_OK(header, static_cast<std::size_t>(size))) return cannot_ask("sock_diag");
    if (header->nlmsg_type == NLMSG_ERROR) {
        const auto* failure = reinterpret_cast<const nlmsgerr*>(NLMSG_DATA(header));
        errno = -failure->error;
        return cannot_ask("sock_diag");
    }
    const auto* found = reinterpret_cast<const unix_diag_msg*>(NLMSG_DATA(header));
    const auto* attribute = reinterpret_cast<const rtattr*>(found + 1);
    auto left = static_cast<unsigned>(header->nlmsg_len - NLMSG_LENGTH(sizeof *found));
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        if (attribute->rta_type != UNIX_DIAG_PEER) continue;
        std::uint32_t inode = 0;
        std::memcpy(&inode, RTA_DATA(attribute), sizeof inode);
        return inode;
    }
    return std::uint32_t{0};  // it has hung up
}

Result<bool> holds_socket(std::int64_t pid, std::uint32_t inode)
{
    const std::string directory = "/proc/" + std::to_string(pid) + "/fd";
    const std::string wanted = "socket:[" + std::to_string(inode) + "]";
    std::error_code error;
    for (std::filesystem::directory_iterator i(directory, error), end; !error && i != end;
         i.increment(error)) {
        std::error_code closed;  // since it was listed
        if (std::filesystem::read_symlink(i->path(), closed) == wanted) return true;
    }
    if (!error || error == std::errc::no_such_file_or_directory) return false;
    errno = error.value();
    return cannot_ask(directory);
}

}  // namespace

std::optional<pid_t> who_listens(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    struct stat st {};
    if (lstat(path.c_str(), &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
        return 0;
    }
    if (path.size() >= sizeof address.sun_path) return 0;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) throw IoError(errno, "cannot create a socket");
    ucred peer{};
    socklen_t size = sizeof peer;
    const int rc =
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    // Refused is the kernel's word for "no process has it"; anything else says less than that.
    if (rc != 0 && (errno == ECONNREFUSED || errno == ENOENT)) return std::nullopt;
    if (rc != 0) return 0;
    if (getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        throw IoError(errno, "cannot ask for the peer of a socket");
    return peer.pid;
}

Result<bool> holds_other_end(int socket, std::int64_t pid)
{
    const auto other = other_end_of(socket);
    if (!other) return other.error();
    if (*other == 0) return false;  // not accepted yet: no process holds it
    return holds_socket(pid, *other);
}

}  // namespace xlstore
