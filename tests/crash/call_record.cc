// SPDX-License-Identifier: MIT
#include "tests/crash/call_record.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <cstring>
#include <string_view>

namespace killer {

std::string tracee_bytes(pid_t group, std::uint64_t address, std::size_t length)
{
    std::string bytes(length, '\0');
    iovec here{bytes.data(), bytes.size()};
    iovec there{reinterpret_cast<void*>(address), length};  // an address of the tracee's
    const auto got = process_vm_readv(group, &here, 1, &there, 1, 0);
    bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return bytes;
}

namespace {

std::string shown(std::string_view bytes)
{
    std::string text;
    for (const char c : bytes)
        text += c < ' ' || c > '~' || c == '"' ? '.' : c;
    return '"' + text + '"';
}

std::string tracee_path(pid_t group, std::uint64_t address)
{
    const auto room = 4096 - address % 4096;  // the next page may not be there
    auto bytes = tracee_bytes(group, address, static_cast<std::size_t>(room < 256 ? room : 256));
    bytes.resize(strnlen(bytes.data(), bytes.size()));
    return shown(bytes);
}

std::string sent_bytes(const Call& call)
{
    std::uint64_t base = call.args[1];
    std::uint64_t length = call.args[2];
    if (call.number == SYS_sendmsg) {
        const auto header = tracee_bytes(call.group, call.args[1], sizeof(msghdr));
        msghdr message{};
        if (header.size() != sizeof message) return {};
        std::memcpy(&message, header.data(), sizeof message);
        const auto vector = tracee_bytes(
            call.group, reinterpret_cast<std::uint64_t>(message.msg_iov), sizeof(iovec));
        iovec first{};
        if (vector.size() != sizeof first) return {};
        std::memcpy(&first, vector.data(), sizeof first);
        base = reinterpret_cast<std::uint64_t>(first.iov_base);
        length = first.iov_len;
    }
    return shown(
        tracee_bytes(call.group, base, static_cast<std::size_t>(length < 120 ? length : 120)));
}

}  // namespace

std::string describe(const Call& call)
{
    const auto* row = row_of(call.number);
    if (!row) return "syscall_" + std::to_string(call.number);
    std::string text = row->name;
    if (row->fd >= 0) {
        const auto fd = call.args[static_cast<std::size_t>(row->fd)];
        text += " fd " + std::to_string(static_cast<int>(fd)) + " " + fd_target(call.group, fd);
    }
    if (row->path >= 0)
        text += " " + tracee_path(call.group, call.args[static_cast<std::size_t>(row->path)]);
    if (row->data >= 0 || call.number == SYS_sendmsg) text += " " + sent_bytes(call);
    if (call.number == SYS_fcntl || call.number == SYS_ioctl || call.number == SYS_kill)
        text += " " + std::to_string(static_cast<long>(call.args[1]));
    if (call.number == SYS_pwrite64)
        text += " length " + std::to_string(call.args[2]) + " at " + std::to_string(call.args[3]);
    return text;
}

}  // namespace killer
