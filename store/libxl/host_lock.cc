// SPDX-License-Identifier: MIT
// libxl's protocol, step by step (libxl__lock_file):
//
//   1. open the file, or make it
//   2. flock() it, without waiting
//      Made here it is locked, and says whose it is, before it has its name: what a death leaves is
//      never taken for a command of libxl's that was cut off
//   3. is it still the file at the path? Its holder removes it while it holds it; then from 1
//   4. to give it back: remove the file, if it is still the one at the path, then unlock
//
// A flock() cannot be waited for with a deadline: take() tries again, after pauses that grow.
#include "store/libxl/host_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include "store/base/file_identity.hpp"
#include "store/lock/kernel_locks.hpp"
#include "store/lock/lock_holders.hpp"

namespace xlstore::libxl {

namespace {

constexpr auto kFirstPause = std::chrono::milliseconds(2);
constexpr auto kLongestPause = std::chrono::milliseconds(50);
// The path may lead to a new file each time only as often as others take the lock and give it back.
constexpr int kTurns = 100;

std::string_view userid_of(HostLockKind kind)
{
    switch (kind) {
    case HostLockKind::device_changes:
        return "libxl-device-changes-lock";
    case HostLockKind::qmp_socket:
        return "qmp-socket-lock";
    case HostLockKind::document:
        break;
    }
    return "domain-userdata-lock";
}

Error not_taken(const std::string& path, int number)
{
    return Error(Errc::io, "libxl's lock " + path + " cannot be taken: " + errno_text(number),
                 number == EACCES || number == EPERM || number == EROFS
                     ? "run it as the user that Xen's toolstack runs as, root as a rule"
                     : "see that the directory is there and that the file is a regular one");
}

// With libxl's mode. What is no regular file is neither followed nor waited for.
ForkClosedFd open_regular(const std::string& path, int flags)
{
    const NoFork no_fork;
    return ForkClosedFd(
        ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0666));
}

// In a file of libxl's own there is nothing, and libxl reads none.
constexpr std::string_view kMark = "xlstore\n";

// Nothing, with errno: the file is there by now (EEXIST), or it cannot be made so.
ForkClosedFd make_locked(const std::string& path)
{
    const NoFork no_fork;
    ForkClosedFd fd(
        ::open(path.substr(0, path.rfind('/')).c_str(), O_RDWR | O_CLOEXEC | O_TMPFILE, 0666));
    if (!fd) return fd;
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return {};
    if (write(fd.get(), kMark.data(), kMark.size()) != static_cast<ssize_t>(kMark.size()))
        return {};
    const std::string made = "/proc/self/fd/" + std::to_string(fd.get());
    if (linkat(AT_FDCWD, made.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) != 0) return {};
    return fd;
}

bool is_marked(const std::string& path)
{
    const ForkClosedFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    std::array<char, kMark.size()> text{};
    return fd && read(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
           std::string_view(text.data(), text.size()) == kMark;
}

bool is_at(const std::string& path, int fd)
{
    struct stat mine {};
    if (fstat(fd, &mine) != 0) return false;
    const auto there = file_identity(path);
    return there && *there == FileIdentity{mine.st_dev, mine.st_ino};
}

}  // namespace

std::string lock_path(const HostDirectories& where, const FileOwner& domain, HostLockKind kind)
{
    return where.lib() + "/" + userdata_name({'l', domain, std::string(userid_of(kind))});
}

Result<std::optional<HostLock>> HostLock::try_take(const std::string& path)
{
    for (int turn = 0; turn < kTurns; ++turn) {
        bool found = true;
        ForkClosedFd fd = open_regular(path, 0);
        if (!fd && errno == ENOENT) {
            found = false;
            fd = make_locked(path);
            if (fd) return std::optional(HostLock(path, std::move(fd), found));
            if (errno == EEXIST) continue;
            fd = open_regular(path, O_CREAT);  // a file system without unnamed files; no room
        }
        if (!fd) return not_taken(path, errno);
        struct stat seen {};
        if (fstat(fd.get(), &seen) != 0) return not_taken(path, errno);
        if (!S_ISREG(seen.st_mode)) return not_taken(path, EINVAL);
        int done = 0;
        do {
            done = flock(fd.get(), LOCK_EX | LOCK_NB);
        } while (done != 0 && errno == EINTR);
        if (done != 0 && errno == EWOULDBLOCK) return std::optional<HostLock>();
        if (done != 0) return not_taken(path, errno);
        // Its holder removed it while this process opened it: a lock on it keeps out no other one.
        if (is_at(path, fd.get())) return std::optional(HostLock(path, std::move(fd), found));
    }
    return std::optional<HostLock>();
}

Task<Result<HostLock>> HostLock::take(Loop& loop, std::string path, Deadline until)
{
    auto pause = kFirstPause;
    for (;;) {
        auto taken = try_take(path);
        if (!taken) co_return std::move(taken).error();
        if (*taken) co_return **std::move(taken);
        const auto now = Clock::now();
        if (now >= until) break;
        (void)co_await loop.sleep(std::min(until, now + pause));
        pause = std::min(2 * pause, kLongestPause);
    }
    const std::string who = co_await holders_of(loop, path);
    co_return Error(until == kOneTry ? Errc::busy : Errc::timeout,
                    "libxl's lock " + path + " is held by " +
                        (who.empty() ? "a process that has given it back meanwhile" : who),
                    "wait for that program, or end it; then try again");
}

HostLock& HostLock::operator=(HostLock&& other) noexcept
{
    if (this != &other) {
        give_back();
        path_ = std::move(other.path_);
        fd_ = std::move(other.fd_);
        found_ = other.found_;
        keep_ = other.keep_;
    }
    return *this;
}

bool HostLock::is_held() const
{
    return fd_ && is_at(path_, fd_.get());
}

void HostLock::give_back() noexcept
{
    if (!fd_) return;
    // Another one's file, if a destruction removed this one meanwhile.
    if (!keep_ && is_at(path_, fd_.get())) unlink(path_.c_str());
    // By name, not only closed: a copy of the descriptor that leaked would keep the lock.
    flock(fd_.get(), LOCK_UN);
    fd_.reset();
}

bool was_left_by_the_dead(const std::string& path)
{
    struct stat st {};
    if (lstat(path.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return false;
    const auto locked = locked_ranges(st.st_ino);
    return locked && locked->empty() && !is_marked(path);
}

Task<std::string> holders_of(Loop& loop, std::string path)
{
    const auto file = file_identity(path);
    if (!file) co_return std::string();
    const LockedBytes all{0, std::numeric_limits<std::int64_t>::max()};
    const auto found = co_await find_lock_holders(loop, path, *file, all);
    co_return found.empty() ? std::string("a process that is not shown to this user")
                            : describe(found);
}

}  // namespace xlstore::libxl
