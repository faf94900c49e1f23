// SPDX-License-Identifier: MIT
// A child that this process forked and holds by a pidfd, so that only it is ever signalled or
// reaped, and no other child of the embedder's. Nothing here waits for longer than a moment (R20).
#ifndef XLSTORE_STORE_OS_CHILD_PROCESS_HPP_
#define XLSTORE_STORE_OS_CHILD_PROCESS_HPP_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "store/base/error.hpp"
#include "store/base/fd.hpp"
#include "store/os/process.hpp"

namespace xlstore {

class ChildProcess {
public:
    /// Forks. `body` runs in the child, with every signal blocked, makes only async-signal-safe
    /// calls, and does not return. Error io: the system refused; no process is left.
    [[nodiscard]] static Result<ChildProcess> fork(const std::function<void()>& body);

    ChildProcess(ChildProcess&& other) noexcept;
    ChildProcess& operator=(ChildProcess&& other) noexcept;
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;
    /// Kills it, unless it was let go or this is a forked child itself.
    ~ChildProcess();

    [[nodiscard]] const ProcessId& id() const noexcept { return id_; }
    [[nodiscard]] const PidFd& pidfd() const noexcept { return pidfd_; }
    /// It is a child of this very process, which has not reaped it.
    [[nodiscard]] bool is_ours() const noexcept;

    /// True once it has ended; it has been reaped then, by this process or another way (a SIGCHLD
    /// handler of the embedder's). Never waits.
    bool reap_if_dead() noexcept;
    /// SIGKILL. One that does not end within a moment, because it hangs in the kernel, is left to
    /// reap_programs().
    void kill() noexcept;
    /// It is to live on by itself: not killed at the end of this object, and from then on left to
    /// reap_programs(). An unreaped child is a zombie, which life_of() calls dead.
    void let_go() noexcept { let_go_ = true; }
    /// "exited with status 1", "was killed by signal 9"; nothing before it was reaped, or if it was
    /// reaped another way.
    [[nodiscard]] std::optional<std::string> how_it_ended() const;

private:
    ChildProcess(ProcessId id, PidFd pidfd) noexcept;
    bool reap() noexcept;
    void leave() noexcept;
    void end() noexcept;

    ProcessId id_;
    PidFd pidfd_;  // empty: moved from
    std::uint64_t generation_ = fork_generation();
    bool let_go_ = false;
    bool left_ = false;  // to reap_programs()
    bool reaped_ = false;
    int end_code_ = 0;    // CLD_EXITED and so on; 0: not known
    int end_status_ = 0;  // exit status or signal, as end_code_ has it
};

/// Reaps the children that were let go, or hung when they were killed, and that have ended since;
/// no other child of the embedder's. Each creation, destruction and unregistering does this, and
/// each opening of an image, so that no more zombies stay than children have ended and were not
/// looked after. Any thread; never waits.
void reap_programs() noexcept;

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_CHILD_PROCESS_HPP_
