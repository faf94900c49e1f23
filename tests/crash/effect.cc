// SPDX-License-Identifier: MIT
#include "tests/crash/effect.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace killer {

std::set<std::string> g_private_pipes;

std::string fd_target(pid_t group, std::uint64_t fd)
{
    const std::string link =
        "/proc/" + std::to_string(group) + "/fd/" + std::to_string(static_cast<int>(fd));
    std::array<char, 512> buffer{};
    const auto length = readlink(link.c_str(), buffer.data(), buffer.size());
    return length < 0 ? std::string()
                      : std::string(buffer.data(), static_cast<std::size_t>(length));
}

namespace {

bool has_peer(const std::string& target)
{
    if (target == "/dev/null" || target == "/dev/zero" || target.ends_with("random")) return false;
    if (target.starts_with("pipe:")) return !g_private_pipes.contains(target);
    return target.starts_with("socket:") || target.starts_with("/dev/");
}

// A regular file's reader moves an offset of its own; what an anonymous inode (eventfd, timerfd,
// inotify) has is taken by no other process. Both end with the process.
Effect by_reading(const Call& call)
{
    const auto target = fd_target(call.group, call.args[0]);
    return target.empty() || has_peer(target) ? Effect::peers : Effect::nothing;
}

Effect by_writing(const Call& call)
{
    const auto target = fd_target(call.group, call.args[0]);
    if (target.starts_with("anon_inode:") || g_private_pipes.contains(target))
        return Effect::nothing;
    return target.empty() || has_peer(target) ? Effect::peers : Effect::files;
}

// The far end of a socket or pipe sees the hang-up; a file that is closed now or at death is the
// same.
Effect by_closing(const Call& call)
{
    return has_peer(fd_target(call.group, call.args[0])) ? Effect::peers : Effect::nothing;
}

Effect by_open_flags(std::uint64_t flags)
{
    constexpr auto writing = static_cast<std::uint64_t>(O_WRONLY | O_RDWR | O_CREAT | O_TRUNC) |
                             static_cast<std::uint64_t>(O_TMPFILE);
    // O_TMPFILE holds O_DIRECTORY, which alone is harmless.
    const auto harmless = static_cast<std::uint64_t>(O_DIRECTORY);
    return (flags & writing & ~harmless) != 0 ? Effect::files : Effect::nothing;
}
Effect by_open(const Call& call)
{
    return by_open_flags(call.args[1]);
}
Effect by_openat(const Call& call)
{
    return by_open_flags(call.args[2]);
}

Effect by_fcntl(const Call& call)
{
    switch (static_cast<int>(call.args[1])) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
    case F_GETFD:
    case F_SETFD:
    case F_GETFL:
    case F_SETFL:
    case F_GETLK:
    case F_OFD_GETLK:
    case F_GETOWN:
    case F_GET_SEALS:
        return Effect::nothing;
    case F_SETLKW:
    case F_OFD_SETLKW:
        return Effect::peers;  // waits
    default:
        return Effect::files;
    }
}

Effect by_ioctl(const Call& call)
{
    switch (call.args[1]) {
    case TCGETS:
    case TIOCGWINSZ:
    case FIONREAD:
    case FIONBIO:
    case FIOCLEX:
        return Effect::nothing;
    default:
        return Effect::peers;
    }
}

Effect by_mmap(const Call& call)
{
    const auto protection = static_cast<int>(call.args[2]);
    const auto flags = static_cast<int>(call.args[3]);
    const bool shared = (flags & MAP_TYPE) != MAP_PRIVATE && (flags & MAP_ANONYMOUS) == 0;
    return shared && (protection & PROT_WRITE) != 0 ? Effect::files : Effect::nothing;
}

Effect by_kill(const Call& call)
{
    const auto signal = call.number == SYS_tgkill ? call.args[2] : call.args[1];
    return signal == 0 ? Effect::nothing : Effect::peers;
}

Effect by_futex(const Call& call)
{
    const auto operation = static_cast<int>(call.args[1]) & FUTEX_CMD_MASK;
    return operation == FUTEX_WAKE || operation == FUTEX_WAKE_OP ? Effect::nothing : Effect::wait;
}

// clang-format off: a table
#define NOTHING(name)                      \
    Row                                    \
    {                                      \
        SYS_##name, #name, Effect::nothing \
    }
#define WAIT(name)                      \
    Row                                 \
    {                                   \
        SYS_##name, #name, Effect::wait \
    }
constexpr Row kRows[] = {
    // Memory, time, identity and signal state of the process itself.
    NOTHING(brk),
    NOTHING(munmap),
    NOTHING(mremap),
    NOTHING(mprotect),
    NOTHING(madvise),
    NOTHING(mincore),
    NOTHING(mlock),
    NOTHING(munlock),
    NOTHING(membarrier),
    NOTHING(pkey_alloc),
    NOTHING(pkey_mprotect),
    NOTHING(getpid),
    NOTHING(getppid),
    NOTHING(gettid),
    NOTHING(getuid),
    NOTHING(geteuid),
    NOTHING(getgid),
    NOTHING(getegid),
    NOTHING(getgroups),
    NOTHING(getresuid),
    NOTHING(getresgid),
    NOTHING(getpgid),
    NOTHING(getpgrp),
    NOTHING(getsid),
    NOTHING(getrusage),
    NOTHING(getrlimit),
    NOTHING(setrlimit),
    NOTHING(prlimit64),
    NOTHING(uname),
    NOTHING(sysinfo),
    NOTHING(times),
    NOTHING(time),
    NOTHING(gettimeofday),
    NOTHING(clock_gettime),
    NOTHING(clock_getres),
    NOTHING(getrandom),
    NOTHING(getcpu),
    NOTHING(sched_getaffinity),
    NOTHING(sched_getparam),
    NOTHING(sched_getscheduler),
    NOTHING(prctl),
    NOTHING(arch_prctl),
    NOTHING(personality),
    NOTHING(capget),
    NOTHING(set_tid_address),
    NOTHING(set_robust_list),
    NOTHING(get_robust_list),
    NOTHING(rseq),
    NOTHING(rt_sigaction),
    NOTHING(rt_sigprocmask),
    NOTHING(rt_sigreturn),
    NOTHING(rt_sigpending),
    NOTHING(sigaltstack),
    NOTHING(umask),
    NOTHING(getcwd),
    NOTHING(chdir),
    NOTHING(fchdir),
    NOTHING(alarm),
    NOTHING(setitimer),
    // Looking at files.
    NOTHING(stat),
    NOTHING(lstat),
    NOTHING(fstat),
    NOTHING(newfstatat),
    NOTHING(statx),
    NOTHING(statfs),
    NOTHING(fstatfs),
    NOTHING(access),
    NOTHING(faccessat),
    NOTHING(faccessat2),
    NOTHING(readlink),
    NOTHING(readlinkat),
    NOTHING(getdents),
    NOTHING(getdents64),
    NOTHING(lseek),
    NOTHING(pread64),
    NOTHING(preadv),
    NOTHING(preadv2),
    NOTHING(getxattr),
    NOTHING(lgetxattr),
    NOTHING(fgetxattr),
    NOTHING(fadvise64),
    NOTHING(readahead),
    // Objects that no other process can reach yet, and looking at sockets.
    NOTHING(socket),
    NOTHING(socketpair),
    NOTHING(pipe),
    NOTHING(pipe2),
    NOTHING(dup),
    NOTHING(dup2),
    NOTHING(dup3),
    NOTHING(eventfd),
    NOTHING(eventfd2),
    NOTHING(signalfd4),
    NOTHING(memfd_create),
    NOTHING(timerfd_create),
    NOTHING(timerfd_settime),
    NOTHING(timerfd_gettime),
    NOTHING(pidfd_open),
    NOTHING(inotify_init),
    NOTHING(inotify_init1),
    NOTHING(inotify_add_watch),
    NOTHING(inotify_rm_watch),
    NOTHING(epoll_create),
    NOTHING(epoll_create1),
    NOTHING(epoll_ctl),
    NOTHING(getsockopt),
    NOTHING(setsockopt),
    NOTHING(getsockname),
    NOTHING(getpeername),
    // Waiting.
    WAIT(epoll_wait),
    WAIT(epoll_pwait),
    WAIT(epoll_pwait2),
    WAIT(poll),
    WAIT(ppoll),
    WAIT(select),
    WAIT(pselect6),
    WAIT(nanosleep),
    WAIT(clock_nanosleep),
    WAIT(sched_yield),
    WAIT(pause),
    WAIT(rt_sigtimedwait),
    WAIT(rt_sigsuspend),
    WAIT(restart_syscall),
    Row{SYS_futex, "futex", Effect::wait, by_futex},
    // By their arguments.
    Row{SYS_mmap, "mmap", Effect::files, by_mmap},
    Row{SYS_open, "open", Effect::files, by_open, 0},
    Row{SYS_openat, "openat", Effect::files, by_openat, 1},
    Row{SYS_read, "read", Effect::peers, by_reading, -1, 0},
    Row{SYS_readv, "readv", Effect::peers, by_reading, -1, 0},
    Row{SYS_write, "write", Effect::peers, by_writing, -1, 0, 1},
    Row{SYS_writev, "writev", Effect::peers, by_writing, -1, 0},
    Row{SYS_close, "close", Effect::peers, by_closing, -1, 0},
    Row{SYS_fcntl, "fcntl", Effect::files, by_fcntl, -1, 0},
    Row{SYS_ioctl, "ioctl", Effect::peers, by_ioctl, -1, 0},
    Row{SYS_kill, "kill", Effect::peers, by_kill},
    Row{SYS_tgkill, "tgkill", Effect::peers, by_kill},
    Row{SYS_pidfd_send_signal, "pidfd_send_signal", Effect::peers, by_kill, -1, 0},
    // Files. Syncing changes nothing that a killed process could show, but is the point of it all.
    Row{SYS_creat, "creat", Effect::files, nullptr, 0},
    Row{SYS_pwrite64, "pwrite64", Effect::files, nullptr, -1, 0},
    Row{SYS_pwritev, "pwritev", Effect::files, nullptr, -1, 0},
    Row{SYS_ftruncate, "ftruncate", Effect::files, nullptr, -1, 0},
    Row{SYS_truncate, "truncate", Effect::files, nullptr, 0},
    Row{SYS_fallocate, "fallocate", Effect::files, nullptr, -1, 0},
    Row{SYS_fsync, "fsync", Effect::files, nullptr, -1, 0},
    Row{SYS_fdatasync, "fdatasync", Effect::files, nullptr, -1, 0},
    Row{SYS_sync_file_range, "sync_file_range", Effect::files, nullptr, -1, 0},
    Row{SYS_msync, "msync", Effect::files},
    Row{SYS_flock, "flock", Effect::files, nullptr, -1, 0},
    Row{SYS_copy_file_range, "copy_file_range", Effect::files},
    Row{SYS_rename, "rename", Effect::files, nullptr, 0},
    Row{SYS_renameat, "renameat", Effect::files, nullptr, 1},
    Row{SYS_renameat2, "renameat2", Effect::files, nullptr, 1},
    Row{SYS_link, "link", Effect::files, nullptr, 0},
    Row{SYS_linkat, "linkat", Effect::files, nullptr, 1},
    Row{SYS_symlink, "symlink", Effect::files, nullptr, 1},
    Row{SYS_unlink, "unlink", Effect::files, nullptr, 0},
    Row{SYS_unlinkat, "unlinkat", Effect::files, nullptr, 1},
    Row{SYS_mkdir, "mkdir", Effect::files, nullptr, 0},
    Row{SYS_mkdirat, "mkdirat", Effect::files, nullptr, 1},
    Row{SYS_rmdir, "rmdir", Effect::files, nullptr, 0},
    Row{SYS_chmod, "chmod", Effect::files, nullptr, 0},
    Row{SYS_fchmod, "fchmod", Effect::files, nullptr, -1, 0},
    Row{SYS_fchmodat, "fchmodat", Effect::files, nullptr, 1},
    Row{SYS_chown, "chown", Effect::files, nullptr, 0},
    Row{SYS_fchown, "fchown", Effect::files, nullptr, -1, 0},
    Row{SYS_utimensat, "utimensat", Effect::files, nullptr, 1},
    // Peers and processes; here for their names only.
    Row{SYS_connect, "connect", Effect::peers, nullptr, -1, 0},
    Row{SYS_bind, "bind", Effect::peers, nullptr, -1, 0},
    Row{SYS_listen, "listen", Effect::peers, nullptr, -1, 0},
    Row{SYS_accept, "accept", Effect::peers, nullptr, -1, 0},
    Row{SYS_accept4, "accept4", Effect::peers, nullptr, -1, 0},
    Row{SYS_shutdown, "shutdown", Effect::peers, nullptr, -1, 0},
    Row{SYS_sendto, "sendto", Effect::peers, nullptr, -1, 0, 1},
    Row{SYS_sendmsg, "sendmsg", Effect::peers, nullptr, -1, 0},
    Row{SYS_sendmmsg, "sendmmsg", Effect::peers, nullptr, -1, 0},
    Row{SYS_recvfrom, "recvfrom", Effect::peers, nullptr, -1, 0},
    Row{SYS_recvmsg, "recvmsg", Effect::peers, nullptr, -1, 0},
    Row{SYS_fork, "fork", Effect::peers},
    Row{SYS_vfork, "vfork", Effect::peers},
    Row{SYS_clone, "clone", Effect::peers},
    Row{SYS_clone3, "clone3", Effect::peers},
    Row{SYS_execve, "execve", Effect::peers, nullptr, 0},
    Row{SYS_wait4, "wait4", Effect::peers},
    Row{SYS_waitid, "waitid", Effect::peers},
    Row{SYS_setsid, "setsid", Effect::peers},
    Row{SYS_setpgid, "setpgid", Effect::peers},
    Row{SYS_close_range, "close_range", Effect::peers},
    Row{SYS_exit, "exit", Effect::peers},
    Row{SYS_exit_group, "exit_group", Effect::peers},
};
#undef NOTHING
#undef WAIT
// clang-format on

}  // namespace

const Row* row_of(long number)
{
    for (const auto& row : kRows)
        if (row.number == number) return &row;
    return nullptr;
}

Effect effect_of(const Call& call)
{
    const auto* row = row_of(call.number);
    if (!row) return Effect::peers;
    return row->decide ? row->decide(call) : row->effect;
}

}  // namespace killer
