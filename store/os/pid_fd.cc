// SPDX-License-Identifier: MIT
// A pidfd, or the directory of the process in /proc where the system has none.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <exception>

#include "store/os/proc_text.hpp"
#include "store/os/process.hpp"

namespace xlstore {

namespace {

/// How often a process is looked at that is held by its directory.
constexpr auto kProcPoll = std::chrono::milliseconds(5);

/// A file of the process behind a directory of /proc. Nothing, with errno: it cannot be read.
std::optional<std::string> read_at(int directory, const char* name)
{
    return read_to_end(Fd(::openat(directory, name, O_RDONLY | O_CLOEXEC)));
}

/// A process, and not a thread, which /proc has a directory for as well.
bool is_first_thread(int directory, pid_t pid) noexcept
try {
    const auto status = read_at(directory, "status");
    if (!status) return true;  // it has ended: dead() says so
    return status->find("\nTgid:\t" + std::to_string(pid) + "\n") != std::string::npos;
} catch (const std::exception&) {
    return true;
}

/// A zombie, too, but not one of which only the first thread has ended. @throws IoError
bool has_ended_in_proc(int directory)
{
    const auto stat = read_at(directory, "stat");
    if (!stat) {
        if (errno == ESRCH || errno == ENOENT) return true;
        throw IoError(errno, "cannot look at a process in /proc");
    }
    const auto state = field_of(*stat, 3);
    const bool ended = state == "Z" || state == "X";
    return ended && field_of(*stat, 20).value_or("0").size() == 1 &&
           field_of(*stat, 20).value_or("0") <= "1";
}

}  // namespace

PidFd PidFd::of(std::int64_t pid) noexcept
{
    static std::atomic<bool> has_pidfds = true;
    PidFd held;
    if (has_pidfds) {
        held.fd_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(pid), 0U)));
        if (held || errno != ENOSYS) return held;
        has_pidfds = false;
    }
    std::array<char, 32> path{};
    std::snprintf(path.data(), path.size(), "/proc/%lld", static_cast<long long>(pid));
    held.fd_ = Fd(::open(path.data(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    held.in_proc_ = static_cast<pid_t>(pid);
    if (!held && errno == ENOENT) errno = ESRCH;
    if (!held || is_first_thread(held.fd_.get(), held.in_proc_)) return held;
    errno = EINVAL;
    return {};
}

bool PidFd::dead() const
{
    if (!fd_) throw IoError(EBADF, "cannot poll a pidfd");  // poll() would call it quiet: alive
    if (in_proc_ != 0) return has_ended_in_proc(fd_.get());
    pollfd entry{fd_.get(), POLLIN, 0};
    for (;;) {
        const int n = ::poll(&entry, 1, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw IoError(errno, "cannot poll a pidfd");
        if (entry.revents & (POLLNVAL | POLLERR)) throw IoError(EBADF, "cannot poll a pidfd");
        return n > 0;
    }
}

Result<void> PidFd::send_signal(int signal) const
{
    int sent = 0;
    if (in_proc_ == 0) {
        sent = static_cast<int>(
            ::syscall(SYS_pidfd_send_signal, fd_.get(), signal, nullptr, 0U));
    } else {
        // What is asked last: for its pid to be another's by now, it would have to die and all
        // other pids to be used in between.
        if (dead()) return Error(Errc::not_found, "the process has ended");
        sent = ::kill(in_proc_, signal);
    }
    if (sent == 0) return {};
    if (errno == ESRCH) return Error(Errc::not_found, "the process has ended");
    return Error(Errc::io,
                 "cannot send signal " + std::to_string(signal) + ": " + errno_text(errno));
}

Task<bool> PidFd::ended(Loop& loop, Deadline until) const
{
    if (in_proc_ == 0) co_return co_await loop.readable(fd_.get(), until);
    while (!dead()) {
        const auto now = Clock::now();
        if (now >= until) co_return false;
        (void)co_await loop.sleep(std::min(until, now + kProcPoll));
    }
    co_return true;
}

bool PidFd::ended_within(int milliseconds) const noexcept
{
    if (in_proc_ == 0) {
        pollfd entry{fd_.get(), POLLIN, 0};
        int n = 0;
        do
            n = ::poll(&entry, 1, milliseconds);
        while (n < 0 && errno == EINTR);
        return n > 0;
    }
    try {
        for (; milliseconds > 0 && !dead(); --milliseconds)
            (void)::poll(nullptr, 0, 1);
        return dead();
    } catch (const std::exception&) {
        return false;
    }
}

bool PidFd::reap(siginfo_t& info) const noexcept
{
    info = {};
    int result = 0;
    do
        result = in_proc_ == 0
                     ? ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(fd_.get()), &info,
                                WEXITED | WNOHANG)
                     : ::waitid(P_PID, static_cast<id_t>(in_proc_), &info, WEXITED | WNOHANG);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

}  // namespace xlstore
