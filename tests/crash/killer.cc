// SPDX-License-Identifier: MIT
// Runs a command and kills it at its Nth system-call stop.
//
//   killer N [--record FILE] [--skip-pure] [--ask FD] -- COMMAND…
//
// The command is traced with ptrace. Each system call of its thread group stops twice, at entry and
// at exit; at the Nth stop the whole group gets SIGKILL, and we wait until it is dead: by then the
// kernel has closed its descriptors and dropped its locks. Processes that it forks are not
// followed: they run on, untraced, as they would if their parent had died by itself.
//
// --ask: at each stop its line of --record is written to FD, a socket of the caller's, and the command
// stays stopped until a byte comes back: k kills it there. What is outside of it is meanwhile as a kill
// at this stop would leave it.
//
// Exit status: 99 killed; the command's own if it ended before (128 + signal, as a shell has it);
// 98 the trace failed or was broken off (SIGTERM, SIGINT, SIGHUP: the command is killed too);
// 97 usage. The last line on stderr says which, and how many stops there were. N = 0 kills never.
//
// PTRACE_O_EXITKILL is not used. It is inherited by each process that is attached by itself, and that is for
// a moment every process that the command makes with clone(): one that is meant to outlive it must
// not die with us.
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
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

#include "tests/crash/call_record.hpp"
#include "tests/crash/effect.hpp"

#ifndef __x86_64__
#error "the register names below are those of x86-64"
#endif

namespace {

using killer::Call;
using killer::Effect;
using killer::describe;
using killer::effect_of;
using killer::fd_target;
using killer::g_private_pipes;
using killer::row_of;
using killer::tracee_bytes;

constexpr int kKilled = 99;
constexpr int kTraceFailed = 98;
constexpr int kUsage = 97;

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
    int ask = -1;
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
            members_.erase(task);
            // The first of a group is reported last, when nothing of the group lives any more.
            if (task == group_) return ended(status);
        }
    }

private:
    void stopped(pid_t task, int status)
    {
        const int signal = WSTOPSIG(status);
        const auto event = static_cast<unsigned>(status) >> 16;
        if (!is_member(task)) {
            // clone() without CLONE_THREAD: another process, which is to run free.
            ptrace(PTRACE_DETACH, task, nullptr, 0);
        } else if (event == PTRACE_EVENT_EXEC) {
            running_.clear();
            members_ = {task};
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

    // A task stays in its group until it ends, which waitpid tells.
    bool is_member(pid_t task)
    {
        if (members_.contains(task)) return true;
        if (!same_group(task, group_)) return false;
        members_.insert(task);
        return true;
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
            // At its exit a call may have closed what it was about.
            if (writes_calls() && may_count(now.effect)) now.text = describe(now.call);
            running_[task] = std::move(now);
        } else if (!running_.contains(task)) {
            running_[task] =
                Running{{group_, SYS_execve, {}}, Effect::nothing, "execve"};  // its own start
        }
        const auto& now = running_[task];
        note_pipes(now.call, entry);
        if (begun_ && !dead_ && counts(now.effect, entry)) {
            ++stops_;
            bool to_kill = false;
            if (writes_calls()) {
                std::string line =
                    std::to_string(stops_) + '\t' + (entry ? "entry" : "exit") + '\t' + now.text;
                if (!entry) line += " = " + std::to_string(info.exit.rval);
                to_kill = tell(line + '\n');
            }
            if (to_kill || stops_ == options_.kill_at) {
                kill_group(task, entry);
                return;
            }
        }
        resume(task, 0);
    }

    [[nodiscard]] bool writes_calls() const { return record_.is_open() || options_.ask >= 0; }

    // Whether it is to be killed here.
    bool tell(const std::string& line)
    {
        if (record_.is_open()) record_ << line << std::flush;
        if (options_.ask < 0) return false;
        char byte = 0;
        if (send(options_.ask, line.data(), line.size(), MSG_NOSIGNAL) !=
                static_cast<ssize_t>(line.size()) ||
            recv(options_.ask, &byte, 1, 0) != 1)
            fail("the caller does not answer");
        return byte == 'k';
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

    [[nodiscard]] bool may_count(Effect effect) const
    {
        return !options_.skip_pure || effect == Effect::files || effect == Effect::peers;
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
    std::set<pid_t> members_;           // tasks of the group
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
        } else if (word == "--ask" && i + 1 < argc) {
            options.ask = std::atoi(argv[++i]);
            fcntl(options.ask, F_SETFD, FD_CLOEXEC);
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
        std::fprintf(stderr,
                     "usage: killer N [--record FILE] [--skip-pure] [--ask FD] -- COMMAND...\n");
        return kUsage;
    }
    struct sigaction action {};
    action.sa_handler = break_off;
    for (const int signal : {SIGTERM, SIGINT, SIGHUP})
        sigaction(signal, &action, nullptr);
    return Trace(*options).run();
}
