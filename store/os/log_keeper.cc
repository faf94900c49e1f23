// SPDX-License-Identifier: MIT
// Runs in a child between fork and exec, so that nothing here allocates. The keeper is /bin/sh with
// head and tail, forked twice, so that init reaps it. head passes on what the file still takes up
// to 512 KiB; what follows goes through tail, which writes the last 64 KiB when the program has
// ended. The program's end of the pipe is open for reading too and never blocks: a keeper that is
// stopped or gone neither stops QEMU nor sends it SIGPIPE. A lock on the log says that a keeper
// lives.
#include "store/os/log_keeper.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "store/base/fd.hpp"

namespace xlstore {

namespace {

constexpr off_t kFullBytes = 512 << 10;
constexpr int kPipeBytes = 1 << 20;  // what is printed while the keeper does not get to run
// $1: how much the log still takes. head never reads more than that, so that what follows is there
// for tail; without stdbuf it keeps the last 4 KiB to itself until the program ends.
constexpr const char* kScript =
    "exec 2>/dev/null; now=$(command -v stdbuf) && now=\"$now -o0\"; $now head -c \"$1\"; "
    "[ -n \"$(head -c 1 | od -An -tx1)\" ] && { "
    "printf '\\n[xlstore: this log is full; its end follows when the program has ended]\\n'; "
    "exec tail -c 65536; }";

// Ends with a NUL.
using Digits = std::array<char, 12>;
Digits digits_of(int number)
{
    Digits digits{};
    std::size_t count = 1;
    for (int rest = number; rest >= 10; rest /= 10)
        ++count;
    for (; count > 0; number /= 10)
        digits[--count] = static_cast<char>('0' + number % 10);
    return digits;
}

int open_log(const char* path)
{
    constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
    const int log = ::open(path, kFlags, 0600);
    if (log < 0) return log;
    struct stat st {};
    if (::fstat(log, &st) == 0 && st.st_size >= kFullBytes && ::ftruncate(log, 0) != 0) return log;
    // As long as a keeper lives; see log_is_complete().
    (void)::flock(log, LOCK_EX | LOCK_NB);
    return log;
}

// The pipe, for reading and writing and without ever blocking: a program that writes to it is
// neither stopped nor sent SIGPIPE, also when the keeper is gone or stopped itself.
int both_ends(int end)
{
    std::array<char, 32> path{"/proc/self/fd/"};
    std::strcpy(path.data() + std::strlen(path.data()), digits_of(end).data());
    const int fd = ::open(path.data(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) (void)::fcntl(fd, F_SETPIPE_SZ, kPipeBytes);  // it may have less
    return fd;
}

[[noreturn]] void be_keeper(int from, int log)
{
    ::setsid();
    // None of the three is among the two: their owner has put them above.
    if (::dup2(from, STDIN_FILENO) < 0 || ::dup2(log, STDOUT_FILENO) < 0 ||
        ::dup2(log, STDERR_FILENO) < 0 || ::chdir("/") != 0)
        ::_exit(1);
    ::syscall(SYS_close_range, STDERR_FILENO + 1U, UINT_MAX, 0U);
    std::array<char, 3> sh{"sh"};
    std::array<char, 3> option{"-c"};
    std::array<char, 512> script{};
    std::strncpy(script.data(), kScript, script.size() - 1);
    std::array<char, 12> name{"xlstore-log"};
    struct stat st {};
    const bool seen = ::fstat(STDOUT_FILENO, &st) == 0 && st.st_size < kFullBytes;
    Digits left = digits_of(static_cast<int>(seen ? kFullBytes - st.st_size : 0));
    std::array<char, 64> search{"PATH=/usr/bin:/bin"};
    char* const words[] = {sh.data(),   option.data(), script.data(),
                           name.data(), left.data(),   nullptr};
    char* const environment[] = {search.data(), nullptr};
    ::execve("/bin/sh", words, environment);
    ::_exit(1);
}

// As a child of init, so that the program's parent and the program itself have one child less.
bool start(int from, int log)
{
    const pid_t between = ::_Fork();
    if (between < 0) return false;
    if (between == 0) {
        const pid_t keeper = ::_Fork();
        if (keeper == 0) be_keeper(from, log);
        ::_exit(keeper < 0 ? 1 : 0);
    }
    int status = 0;
    while (::waitpid(between, &status, 0) < 0)
        if (errno != EINTR) return false;
    if (status != 0) errno = EAGAIN;
    return status == 0;
}

}  // namespace

int start_log_keeper(const char* path) noexcept
{
    // Nothing is closed on failure: the child ends then.
    const int log = above_stdio(open_log(path));
    int ends[2];
    if (log < 0 || ::pipe2(ends, O_CLOEXEC) != 0) return -1;
    const int from = above_stdio(ends[0]);
    const int to = both_ends(ends[1]);
    if (from < 0 || to < 0) return -1;
    if (!start(from, log)) return -1;
    for (const int fd : {log, from, ends[1]})
        ::close(fd);
    return to;
}

bool log_is_complete(const std::string& path) noexcept
{
    const Fd log(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    return !log || ::flock(log.get(), LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

}  // namespace xlstore
