// SPDX-License-Identifier: MIT
// One dump of all connected Unix sockets from sock_diag; those that are bound to the path, by name
// or by inode, give the inodes of their peers; whose descriptors these are is then searched for in
// /proc, in pieces (open_files.hpp), since that takes long on a host with many processes.
#include "store/os/socket_clients.hpp"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <set>
#include <string_view>

#include "store/base/fd.hpp"

namespace xlstore {

namespace {

constexpr std::uint8_t kEstablished = 1;  // TCP_ESTABLISHED, which unix sockets use too
constexpr unsigned kMinorBits = 20;       // of a dev_t inside the kernel

// A socket as sock_diag shows it.
struct Shown {
    std::string_view name;
    std::uint32_t file = 0;  // inode and device of the path it is bound to
    std::uint32_t device = 0;
    std::uint32_t peer = 0;  // inode of the socket at the other end
};

Shown read_attributes(const unix_diag_msg* message, std::size_t size)
{
    Shown shown;
    const auto* attribute = reinterpret_cast<const rtattr*>(message + 1);
    auto left = static_cast<unsigned>(size - NLMSG_ALIGN(sizeof *message));
    for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        const auto* data = static_cast<const char*>(RTA_DATA(attribute));
        const std::size_t bytes = RTA_PAYLOAD(attribute);
        if (attribute->rta_type == UNIX_DIAG_NAME) {
            shown.name = std::string_view(data, strnlen(data, bytes));
        } else if (attribute->rta_type == UNIX_DIAG_VFS && bytes >= sizeof(unix_diag_vfs)) {
            unix_diag_vfs vfs{};
            std::memcpy(&vfs, data, sizeof vfs);
            shown.file = vfs.udiag_vfs_ino;
            shown.device = vfs.udiag_vfs_dev;
        } else if (attribute->rta_type == UNIX_DIAG_PEER && bytes >= sizeof shown.peer) {
            std::memcpy(&shown.peer, data, sizeof shown.peer);
        }
    }
    return shown;
}

Fd ask_for_all_sockets()
{
    Fd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
    if (!netlink) return {};
    const timeval patience{1, 0};  // the kernel answers at once, or is not one that does
    setsockopt(netlink.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    struct {
        nlmsghdr head;
        unix_diag_req request;
    } message{};
    message.head.nlmsg_len = sizeof message;
    message.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    message.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    message.request.sdiag_family = AF_UNIX;
    message.request.udiag_states = 1U << kEstablished;
    message.request.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER;
    if (::send(netlink.get(), &message, sizeof message, 0) < 0) return {};
    return netlink;
}

// The inodes of the peers of accepted sockets that are bound to `path`. Nothing: not to be had.
std::optional<std::set<std::uint32_t>> peers_at(const std::string& path)
{
    struct stat st {};
    if (stat(path.c_str(), &st) != 0) return std::nullopt;
    const auto file = static_cast<std::uint32_t>(st.st_ino);
    const auto device =
        static_cast<std::uint32_t>(major(st.st_dev) << kMinorBits | minor(st.st_dev));
    const Fd netlink = ask_for_all_sockets();
    if (!netlink) return std::nullopt;
    std::set<std::uint32_t> peers;
    alignas(nlmsghdr) std::array<char, 32768> buffer{};
    for (;;) {
        const auto n = ::recv(netlink.get(), buffer.data(), buffer.size(), 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return std::nullopt;
        auto left = static_cast<unsigned>(n);
        for (const auto* head = reinterpret_cast<const nlmsghdr*>(buffer.data());
             NLMSG_OK(head, left); head = NLMSG_NEXT(head, left)) {
            if (head->nlmsg_type == NLMSG_DONE) return peers;
            if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY) return std::nullopt;  // NLMSG_ERROR
            const auto* message = static_cast<const unix_diag_msg*>(NLMSG_DATA(head));
            if (NLMSG_PAYLOAD(head, 0) < sizeof *message) return std::nullopt;
            if (message->udiag_ino == 0) continue;  // still in the accept queue
            const Shown shown = read_attributes(message, NLMSG_PAYLOAD(head, 0));
            const bool here = shown.name == path || (shown.file == file && shown.device == device);
            if (here && shown.peer != 0) peers.insert(shown.peer);
        }
    }
}

}  // namespace

std::optional<SocketClients> clients_of_socket(const std::string& path, int own)
{
    auto peers = peers_at(path);
    if (!peers) return std::nullopt;
    struct stat st {};
    if (fstat(own, &st) == 0) peers->erase(static_cast<std::uint32_t>(st.st_ino));
    std::set<std::string> targets;
    for (const auto inode : *peers)
        targets.insert("socket:[" + std::to_string(inode) + "]");
    return SocketClients{peers->size(),
                         FileSearch([targets = std::move(targets)](const OpenFile& file) {
                             return targets.contains(file.target);
                         })};
}

}  // namespace xlstore
