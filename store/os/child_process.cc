// SPDX-License-Identifier: MIT
// A child is named by ProcessId and held by a pidfd; neither can become another process's while it
// is not reaped. Reaping is waitid(P_PIDFD), so that an embedder that reaps every child of its own
// cannot make this code take another child's end for this one's. A child that was let go and
// outlives its object is remembered by id, since a descriptor each would be too many, and reaped by
// a later call of reap_programs().
#include "store/os/child_process.hpp"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

namespace xlstore {

namespace {

constexpr int kMomentMs = 20;

/// Children that were let go and outlived their object: this process is their parent as long as it
/// lives. By id and not by pidfd: a toolstack may have more QEMUs than descriptors to spare.
struct LetGo {
    std::mutex mutex;
    std::vector<ProcessId> children;
};
LetGo& let_go_children()
{
    static LetGo one;
    return one;
}

/// True once there is nothing to reap any more. A pid may be another child's by now, if the
/// embedder reaps all of them: what is reaped is what the id names, held by a pidfd.
bool reap_child(const ProcessId& child)
{
    const auto pid = static_cast<pid_t>(child.pid);
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0)
        return errno == ECHILD;
    if (info.si_pid == 0) return false;
    const PidFd pidfd = PidFd::of(pid);
    if (!pidfd) return false;
    const auto now = identify(pid);
    if (!now) return false;
    if (*now == child) (void)pidfd.reap(info);
    return true;
}

/// For its scope every signal waits (of this thread), so that the child starts with none handled.
class AllSignalsBlocked {
public:
    AllSignalsBlocked() noexcept
    {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    AllSignalsBlocked(const AllSignalsBlocked&) = delete;
    AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;
    ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_;
};

}  // namespace

Result<ChildProcess> ChildProcess::fork(const std::function<void()>& body)
{
    pid_t pid = -1;
    {
        const AllSignalsBlocked blocked;
        pid = ::fork();
        if (pid == 0) {
            body();
            ::_exit(127);  // it does not return; nothing of ours is destroyed here
        }
    }
    if (pid < 0) return Error(Errc::io, "fork: " + errno_text(errno));
    // Ours and not reaped, so the number is still its own, even if it has ended already.
    auto id = identify(pid);
    PidFd pidfd = PidFd::of(pid);
    if (id && pidfd) return ChildProcess(*std::move(id), std::move(pidfd));
    const std::string why =
        id ? "pidfd_open: " + errno_text(errno) : id.error().message;
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return Error(Errc::io, why);
}

ChildProcess::ChildProcess(ProcessId id, PidFd pidfd) noexcept
    : id_(std::move(id)), pidfd_(std::move(pidfd))
{}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept = default;

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept
{
    if (this == &other) return *this;
    end();
    id_ = std::move(other.id_);
    pidfd_ = std::move(other.pidfd_);
    generation_ = other.generation_;
    let_go_ = other.let_go_;
    left_ = other.left_;
    reaped_ = other.reaped_;
    end_code_ = other.end_code_;
    end_status_ = other.end_status_;
    return *this;
}

ChildProcess::~ChildProcess()
{
    end();
}

bool ChildProcess::is_ours() const noexcept
{
    return pidfd_ && !reaped_ && !fork_poisoned(generation_);
}

/// True if the child is reaped, by now and in any way. By pidfd: if the embedder reaps all
/// children, the pid may be an unrelated process's, or another child's.
bool ChildProcess::reap() noexcept
{
    siginfo_t info{};
    if (!pidfd_.reap(info)) return reaped_ = errno == ECHILD;
    if (info.si_pid == 0) return false;
    reaped_ = true;
    end_code_ = info.si_code;
    end_status_ = info.si_status;
    return true;
}

bool ChildProcess::reap_if_dead() noexcept
{
    if (reaped_) return true;
    return is_ours() && reap();
}

void ChildProcess::kill() noexcept
{
    if (!is_ours()) return;
    try {
        (void)pidfd_.send_signal(SIGKILL);
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
        // It ends by itself, or is left.
    }
    (void)pidfd_.ended_within(kMomentMs);
    if (!reap()) leave();
}

void ChildProcess::leave() noexcept
{
    if (!is_ours() || std::exchange(left_, true)) return;
    const NoFork no_fork;  // no child gets the mutex locked
    const std::lock_guard lock(let_go_children().mutex);
    try {
        let_go_children().children.push_back(id_);
    } catch (const std::bad_alloc&) {
        // It stays a zombie until this process ends; nothing else depends on it.
    }
}

void ChildProcess::end() noexcept
{
    if (!let_go_)
        kill();
    else if (!reap_if_dead())
        leave();
}

std::optional<std::string> ChildProcess::how_it_ended() const
{
    if (end_code_ == 0) return std::nullopt;
    const char* how = end_code_ == CLD_EXITED ? "exited with status " : "was killed by signal ";
    return how + std::to_string(end_status_);
}

void reap_programs() noexcept
{
    const NoFork no_fork;
    const std::lock_guard lock(let_go_children().mutex);
    std::erase_if(let_go_children().children, [](const ProcessId& child) {
        try {
            return reap_child(child);
        } catch (const std::exception&) {
            return false;  // it could not be looked at now; the next call looks again
        }
    });
}

}  // namespace xlstore
