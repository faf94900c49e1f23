// SPDX-License-Identifier: MIT
// A waiting child (R13): a process that exists, and so has a pid to write into the row, but does
// not begin to run its program before the creator opens its start barrier.
//
//   spawn_waiting -> (commit its pid) -> open_start_barrier -> the program runs, even if we die
//        |                                ^
//        +-- creator dies, or drops it ---+-- the start barrier ends unopened: the child exits
//
// No process but the creator has the far end of the start barrier (close-on-exec, and closed in
// every other forked child), so the kernel closes it with the creator. The child is in a session of
// its own and asks for no signal at its parent's death: once through the start barrier it is to
// survive the creator. One WaitingChild belongs to one thread at a time. While its child is waited
// for the loop goes on; what is left to the calling thread is fork() itself, which takes longer the
// more memory it has.
#ifndef XLSTORE_STORE_OS_SPAWN_HPP_
#define XLSTORE_STORE_OS_SPAWN_HPP_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "store/base/error.hpp"
#include "store/base/fd.hpp"
#include "store/event/loop.hpp"
#include "store/event/task.hpp"
#include "store/os/child_process.hpp"

namespace xlstore {

struct SpawnRequest {
    /// The program and its arguments. argv[0] is looked for as execvp() would (in PATH, unless it
    /// holds a slash); a file without a `#!` line is not handed to a shell.
    std::vector<std::string> argv;
    /// Descriptors the program is given, at the same numbers; from 3 on. None that a ForkClosedFd
    /// owns: those end at fork. The caller keeps its own copies, and closes them.
    std::vector<int> keep_fds;
    /// Where stdout and stderr are appended, up to a bound (store/os/log_keeper.hpp); created with
    /// mode 0600. Empty: thrown away. stdin is /dev/null.
    std::string log_path;
    /// "NAME=VALUE", in addition to this process's own environment, or in the place of what that
    /// has of the name.
    std::vector<std::string> environment = {};
};

class WaitingChild;

/// Forks a child, and returns when it waits at its start barrier. Every signal is at its default
/// there, every descriptor but those of the request is closed. The child itself looks for the
/// program and opens its log: a file system that does not answer keeps it, and not the loop (R20).
/// @return invalid: a bad request; not_found: no such program; refused: it is not executable; io:
///         the system refused; timeout: the child did not come to its start barrier in time. It is
///         killed then.
Task<Result<WaitingChild>> spawn_waiting(Loop& loop, SpawnRequest request, Deadline until);

class WaitingChild {
public:
    /// Start barrier not opened: the child is killed with this object. Opened: the program runs on,
    /// still a child of this process (store/os/child_process.hpp).
    WaitingChild(WaitingChild&& other) noexcept = default;
    WaitingChild& operator=(WaitingChild&& other) noexcept = default;
    WaitingChild(const WaitingChild&) = delete;
    WaitingChild& operator=(const WaitingChild&) = delete;
    ~WaitingChild() = default;

    [[nodiscard]] pid_t pid() const noexcept { return static_cast<pid_t>(child_.id().pid); }
    [[nodiscard]] const ProcessId& id() const noexcept { return child_.id(); }
    [[nodiscard]] const PidFd& pidfd() const noexcept { return child_.pidfd(); }

    /// Lets the child run its program, and waits until it does. Call it once, after the pid is
    /// committed.
    /// @return refused: the program could not be run, or the child was killed before; it is gone
    ///         and reaped. in_doubt: no word by the deadline (a program on a file system that
    ///         hangs); the child is left alone. order: called again, or in a forked child.
    /// @throws IoError; if the start barrier has been opened by then, the child is left alone too.
    Task<Result<void>> open_start_barrier(Loop& loop, Deadline until);

    /// True once the process has ended; it has been reaped then. Never waits.
    bool reap_if_dead() noexcept { return child_.reap_if_dead(); }
    /// See ChildProcess.
    [[nodiscard]] std::optional<std::string> how_it_ended() const { return child_.how_it_ended(); }

private:
    friend Task<Result<WaitingChild>> spawn_waiting(Loop& loop, SpawnRequest request,
                                                    Deadline until);
    WaitingChild(ChildProcess child, ForkClosedFd start_barrier, std::string program);

    ChildProcess child_;
    ForkClosedFd start_barrier_;  // our end; the child's reports come back through it
    std::string program_;  // for messages
    bool opened_ = false;  // the byte is sent: the program may run, so it is no longer ours to end
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_SPAWN_HPP_
