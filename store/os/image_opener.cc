// SPDX-License-Identifier: MIT
// The child opens the file and sends the descriptor over a socket pair, or the error's number.
// Between its fork and its end it calls async-signal-safe functions only, and has closed every
// other descriptor. O_NONBLOCK and fstat() tell a FIFO or a directory from an image. At the
// deadline the parent leaves: a child that hangs in open() is killed, as far as the kernel lets it
// be, and reaped by a later call.
#include "store/os/image_opener.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>

#include "store/os/child_process.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

/// What the child found: an error number, kNoImage, or 0 with the descriptor.
using Word = int;
constexpr Word kNoImage = -1;

constexpr const char* kAdvice = "nothing was changed; name an image that can be read";

/// Only async-signal-safe calls: another thread may have held any lock at the fork.
[[noreturn]] void run_child(int to, const char* path, int flags)
{
    const int number = ::dup2(to, STDIN_FILENO);  // the one descriptor that it keeps
    ::syscall(SYS_close_range, 1U, UINT_MAX, 0U);
    if (number < 0) ::_exit(1);
    Word word = 0;
    const int fd = ::open(path, flags);
    if (fd < 0) word = errno;
    struct stat st {};
    if (fd >= 0 && (::fstat(fd, &st) != 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))))
        word = kNoImage;
    iovec piece{&word, sizeof word};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    if (word == 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    ::sendmsg(STDIN_FILENO, &message, MSG_NOSIGNAL);
    ::_exit(0);
}

/// Our end of the conversation with the child, and the child.
struct Opener {
    ForkClosedFd from;
    ChildProcess child;
};

Result<Opener> begin(const std::string& path, bool writable)
{
    // O_NONBLOCK: a FIFO in the place of an image is told apart at once.
    const int flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    const NoFork no_fork;  // no other child gets a copy of either end
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return Error(Errc::io, std::string("socketpair: ") + errno_text(errno));
    const Fd to(ends[0]);
    ForkClosedFd from(ends[1]);
    auto child = ChildProcess::fork([&] { run_child(to.get(), path.c_str(), flags); });
    if (!child) return child.error();
    return Opener{std::move(from), *std::move(child)};
}

/// The descriptor that came with a message, if one did.
Fd descriptor_of(msghdr& message)
{
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) return Fd();
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return Fd(fd);
}

}  // namespace

Task<Result<Fd>> open_image(Loop& loop, std::string path, bool writable, Deadline until)
{
    reap_programs();
    auto opener = begin(path, writable);
    if (!opener) co_return std::move(opener).error();
    if (!co_await loop.readable(opener->from.get(), until))
        co_return Error(Errc::timeout, json_shown(path) + " was not opened in time",
                        "nothing was changed; see whether the file system it is on answers");
    Word word = EIO;
    iovec piece{&word, sizeof word};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto n = ::recvmsg(opener->from.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    Fd file = n == sizeof word ? descriptor_of(message) : Fd();
    // It is about to end, and leaves no zombie.
    if (co_await opener->child.pidfd().ended(loop, until)) opener->child.reap_if_dead();
    if (n != sizeof word || (word == 0 && !file))
        co_return Error(Errc::io,
                        json_shown(path) + " was not opened: the child process that opens it died",
                        "nothing was changed; try again");
    if (word == kNoImage)
        co_return Error(Errc::invalid, json_shown(path) + " is neither a file nor a block device",
                        kAdvice);
    if (word != 0)
        co_return Error(Errc::invalid,
                        "cannot open " + json_shown(path) + ": " + errno_text(word), kAdvice);
    co_return std::move(file);
}

}  // namespace xlstore
