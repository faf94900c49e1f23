// SPDX-License-Identifier: MIT
// Runs a command and kills it at its Nth system-call stop.
//
//   killer N [--record FILE] [--skip-pure] -- COMMAND…
//
// The command is traced with ptrace. Each system call of its thread group stops twice, at entry and
// at exit; at the Nth stop the whole group gets SIGKILL, and we wait until it is dead: by then the
// kernel has closed its descriptors and dropped its locks. Processes that it forks are not
// followed: they run on, untraced, as they would if their parent had died by itself.
//
// Exit status: 99 killed; the command's own if it ended before (128 + signal, as a shell has it);
// 98 the trace failed or was broken off (SIGTERM, SIGINT, SIGHUP: the command is killed too);
// 97 usage. The last line on stderr says which, and how many stops there were. N = 0 kills never.
//
// PTRACE_O_EXITKILL is not used. It is inherited by each process that is attached by itself, and that is for
// a moment every process that the command makes with clone(): one that is meant to outlive it must
// not die with us.
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#ifndef __x86_64__
#error "the register names below are those of x86-64"
#endif

namespace {

constexpr int kKilled = 99;
constexpr int kTraceFailed = 98;
constexpr int kUsage = 97;

// ---- What a call can change -------------------------------------------------
//
// With --skip-pure a stop is not counted when a kill there leaves the world outside the process as
// a kill at a counted stop next to it does. What counts is the world *after* the death: the kernel
// closes descriptors, ends mappings and drops locks of the dead, so that closing a file is nothing,
// while taking a lock is kept (others may have seen it).
//
//   nothing   changes nothing outside. Neither stop is counted.
//   wait      the same, but others act meanwhile. Neither stop is counted, the next one is.
//   files     changes what only looks different once it has run: the file system, a lock. Its exit
//             is counted. Its entry is the last counted stop over again, and is counted only if
//             others may have acted since that one.
//   peers     another process may react to it: a socket, a pipe, a process. Both stops are counted, and so
//             is the next one after it.
//
// What is not in the table is `peers`.
enum class Effect { nothing, wait, files, peers };

struct Call {
    pid_t group = 0;
    long number = -1;
    std::array<std::uint64_t, 6> args{};
};

// Pipes that the command made after its last fork and has not sent away: no other process has an
// end of them. (Sanitizers ask the kernel through such a pipe whether memory can be read.)
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

struct Row {
    long number;
    const char* name;
    Effect effect;
    Effect (*decide)(const Call&) = nullptr;  // by its arguments, instead of `effect`
    int path = -1;                            // which argument names a file, for the record
    int fd = -1;                              // which argument is a descriptor
    int data = -1;                            // which argument points to bytes sent
};

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

// ---- The record -------------------------------------------------------------

std::string tracee_bytes(pid_t group, std::uint64_t address, std::size_t length)
{
    std::string bytes(length, '\0');
    iovec here{bytes.data(), bytes.size()};
    iovec there{reinterpret_cast<void*>(address), length};  // an address of the tracee's
    const auto got = process_vm_readv(group, &here, 1, &there, 1, 0);
    bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return bytes;
}

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

// "sendmsg fd 6 socket:[123] "{...}"", taken at entry.
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

// ---- The trace --------------------------------------------------------------

volatile sig_atomic_t g_group = 0;  // whom a signal to us takes along
volatile sig_atomic_t g_broken_off = 0;

void break_off(int)
{
    g_broken_off = 1;
    if (g_group > 0) kill(static_cast<pid_t>(g_group), SIGKILL);
}

[[noreturn]] void fail(const char* what)
{
    std::fprintf(stderr, "killer: %s: %s\n", what, std::strerror(errno));
    if (g_group > 0) kill(static_cast<pid_t>(g_group), SIGKILL);
    std::exit(kTraceFailed);
}

struct Options {
    long kill_at = 0;
    bool skip_pure = false;
    std::string record;
    char** command = nullptr;
};

// The child waits until it is traced, then becomes the command; PTRACE_O_TRACEEXEC stops it there.
pid_t start(const Options& options)
{
    int start_barrier[2];
    if (pipe2(start_barrier, O_CLOEXEC) != 0) fail("pipe");
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        close(start_barrier[1]);
        char byte = 0;
        if (read(start_barrier[0], &byte, 1) != 1) _exit(kTraceFailed);
        execvp(options.command[0], options.command);
        std::fprintf(stderr, "killer: %s: %s\n", options.command[0], std::strerror(errno));
        _exit(127);
    }
    g_group = child;
    constexpr long flags = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;
    if (ptrace(PTRACE_SEIZE, child, nullptr, flags) != 0) fail("ptrace: seize");
    close(start_barrier[0]);
    if (write(start_barrier[1], "", 1) != 1) fail("write");
    close(start_barrier[1]);
    return child;
}

bool same_group(pid_t task, pid_t group)
{
    return access(("/proc/" + std::to_string(group) + "/task/" + std::to_string(task)).c_str(),
                  F_OK) == 0;
}

class Trace {
public:
    explicit Trace(const Options& options) : options_(options)
    {
        if (!options.record.empty()) {
            record_.open(options.record, std::ios::trunc);
            if (!record_) fail(options.record.c_str());
        }
    }

    int run()
    {
        group_ = start(options_);
        for (;;) {
            int status = 0;
            const pid_t task = waitpid(-1, &status, __WALL);
            if (task < 0) {
                if (errno == EINTR) continue;
                fail("waitpid");
            }
            if (WIFSTOPPED(status)) {
                stopped(task, status);
                continue;
            }
            running_.erase(task);
            // The first of a group is reported last, when nothing of the group lives any more.
            if (task == group_) return ended(status);
        }
    }

private:
    void stopped(pid_t task, int status)
    {
        const int signal = WSTOPSIG(status);
        const auto event = static_cast<unsigned>(status) >> 16;
        if (!same_group(task, group_)) {
            // clone() without CLONE_THREAD: another process, which is to run free.
            ptrace(PTRACE_DETACH, task, nullptr, 0);
        } else if (event == PTRACE_EVENT_EXEC) {
            running_.clear();
            begun_ = true;
            resume(task, 0);
        } else if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) {
            ptrace(PTRACE_LISTEN, task, nullptr, 0);  // SIGSTOP and its like: stays stopped
        } else if (event != 0) {
            resume(task, 0);
        } else if (signal == (SIGTRAP | 0x80)) {
            at_call(task);
        } else {
            resume(task, signal);
        }
    }

    void resume(pid_t task, int signal)
    {
        // A task that was killed meanwhile is told so by the next waitpid.
        ptrace(PTRACE_SYSCALL, task, nullptr, static_cast<long>(signal));
    }

    void at_call(pid_t task)
    {
        __ptrace_syscall_info info{};
        if (ptrace(PTRACE_GET_SYSCALL_INFO, task, sizeof info, &info) <= 0) {
            resume(task, 0);  // dying
            return;
        }
        const bool entry = info.op == PTRACE_SYSCALL_INFO_ENTRY;
        if (entry) {
            Running now;
            now.call.group = group_;
            now.call.number = static_cast<long>(info.entry.nr);
            for (std::size_t i = 0; i < now.call.args.size(); ++i)
                now.call.args[i] = info.entry.args[i];
            now.effect = effect_of(now.call);
            if (record_.is_open()) now.text = describe(now.call);
            running_[task] = std::move(now);
        } else if (!running_.contains(task)) {
            running_[task] =
                Running{{group_, SYS_execve, {}}, Effect::nothing, "execve"};  // its own start
        }
        const auto& now = running_[task];
        note_pipes(now.call, entry);
        if (begun_ && !dead_ && counts(now.effect, entry)) {
            ++stops_;
            if (record_.is_open()) {
                record_ << stops_ << '\t' << (entry ? "entry" : "exit") << '\t' << now.text;
                if (!entry) record_ << " = " << info.exit.rval;
                record_ << '\n';
                record_.flush();
            }
            if (stops_ == options_.kill_at) {
                kill_group(task, entry);
                return;
            }
        }
        resume(task, 0);
    }

    static void note_pipes(const Call& call, bool entry)
    {
        switch (call.number) {
        case SYS_pipe:
        case SYS_pipe2: {
            const auto ends = tracee_bytes(call.group, call.args[0], 2 * sizeof(int));
            if (entry || ends.size() != 2 * sizeof(int)) break;
            int fd = -1;
            std::memcpy(&fd, ends.data(), sizeof fd);
            const auto target = fd_target(call.group, static_cast<std::uint64_t>(fd));
            if (target.starts_with("pipe:")) g_private_pipes.insert(target);
            break;
        }
        case SYS_clone:
        case SYS_clone3:
        case SYS_fork:
        case SYS_vfork:
        case SYS_sendmsg:
        case SYS_sendmmsg:
            g_private_pipes.clear();
            break;
        default:
            break;
        }
    }

    // See "what a call can change" above.
    bool counts(Effect effect, bool entry)
    {
        if (!options_.skip_pure) return true;
        switch (effect) {
        case Effect::nothing:
            return false;
        case Effect::wait:
            others_acted_ = true;
            return false;
        case Effect::files:
            if (entry && !others_acted_) return false;
            others_acted_ = false;
            return true;
        case Effect::peers:
            others_acted_ = true;
            return true;
        }
        return true;
    }

    void kill_group(pid_t task, bool entry)
    {
        dead_ = true;
        // At entry the call has not run, and must not: newer kernels look for a fatal signal after
        // this stop, older ones went on into the call. Number -1 is no call on any of them.
        if (entry) {
            user_regs_struct registers{};
            if (ptrace(PTRACE_GETREGS, task, nullptr, &registers) != 0)
                fail("ptrace: read registers");
            registers.orig_rax = ~0ULL;
            if (ptrace(PTRACE_SETREGS, task, nullptr, &registers) != 0)
                fail("ptrace: write registers");
        }
        if (kill(group_, SIGKILL) != 0) fail("kill");  // while stopped; the signal alone wakes it
        const auto* row = row_of(running_[task].call.number);
        at_ = row ? row->name : "syscall_" + std::to_string(running_[task].call.number);
        at_ += entry ? " entry" : " exit";
    }

    int ended(int status)
    {
        if (g_broken_off) {
            std::fprintf(stderr, "killer: broken off after %ld stops\n", stops_);
            return kTraceFailed;
        }
        if (dead_) {
            std::fprintf(stderr, "killer: killed at stop %ld: %s\n", stops_, at_.c_str());
            return kKilled;
        }
        const int result = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        std::fprintf(stderr, "killer: ended by itself after %ld stops, status %d\n", stops_,
                     result);
        return result;
    }

    struct Running {
        Call call;
        Effect effect = Effect::nothing;
        std::string text;
    };
    const Options& options_;
    std::ofstream record_;
    pid_t group_ = 0;
    bool begun_ = false;
    bool dead_ = false;
    bool others_acted_ = true;
    long stops_ = 0;
    std::string at_;
    std::map<pid_t, Running> running_;  // by task: the call that it is in
};

std::optional<Options> parse(int argc, char** argv)
{
    Options options;
    if (argc < 2) return std::nullopt;
    const std::string_view number = argv[1];
    const auto [end, error] =
        std::from_chars(number.data(), number.data() + number.size(), options.kill_at);
    if (error != std::errc() || end != number.data() + number.size() || options.kill_at < 0)
        return std::nullopt;
    for (int i = 2; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--skip-pure") {
            options.skip_pure = true;
        } else if (word == "--record" && i + 1 < argc) {
            options.record = argv[++i];
        } else if (word == "--" && i + 1 < argc) {
            options.command = argv + i + 1;
            return options;
        } else {
            return std::nullopt;
        }
    }
    return std::nullopt;
}

}  // namespace

int main(int argc, char** argv)
{
    const auto options = parse(argc, argv);
    if (!options) {
        std::fprintf(stderr, "usage: killer N [--record FILE] [--skip-pure] -- COMMAND...\n");
        return kUsage;
    }
    struct sigaction action {};
    action.sa_handler = break_off;
    for (const int signal : {SIGTERM, SIGINT, SIGHUP})
        sigaction(signal, &action, nullptr);
    return Trace(*options).run();
}
