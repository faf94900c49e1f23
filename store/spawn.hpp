// SPDX-License-Identifier: MIT
// A gated child (R13): a process that exists, and so has a pid to write into the row, but does not
// begin to run its program before the creator opens its gate.
//
//   spawn_gated -> (commit its pid) -> open_gate -> the program runs, whatever becomes of us
//        |                                ^
//        +-- creator dies, or drops it ---+-- the gate ends unopened: the child exits
//
// Nobody but the creator has the far end of the gate (close-on-exec, and closed in every other
// forked child), so the kernel closes it with the creator. The child is in a session of its own and
// asks for no signal at its parent's death: once through the gate it is to survive the creator.
// One GatedChild belongs to one thread at a time.
#ifndef XLSTORE_STORE_SPAWN_HPP_
#define XLSTORE_STORE_SPAWN_HPP_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/error.hpp"
#include "store/fd.hpp"
#include "store/process.hpp"

namespace xlstore {

struct SpawnRequest {
    /// The program and its arguments. argv[0] is looked for as execvp() would (in PATH, unless it
    /// holds a slash); a file without a `#!` line is not handed to a shell.
    std::vector<std::string> argv;
    /// Descriptors the program is given, at the same numbers; from 3 on. None that a ForkClosedFd
    /// owns: those end at fork. The caller keeps its own copies, and closes them.
    std::vector<int> keep_fds;
    /// Where stdout and stderr are appended; created with mode 0600. Empty: thrown away. stdin is
    /// /dev/null.
    std::string log_path;
    /// "NAME=VALUE", in addition to this process's own environment.
    std::vector<std::string> environment = {};
};

class GatedChild;

/// Forks a child, and returns when it waits at its gate. Every signal is at its default there,
/// every descriptor but those of the request is closed.
/// @return invalid: a bad request; not_found: no such program; io: the system refused. No process
///         is left behind then.
[[nodiscard]] Result<GatedChild> spawn_gated(const SpawnRequest& request);

class GatedChild {
public:
    GatedChild(GatedChild&& other) noexcept;
    GatedChild& operator=(GatedChild&& other) noexcept;
    GatedChild(const GatedChild&) = delete;
    GatedChild& operator=(const GatedChild&) = delete;
    /// Gate not opened: the child ends and is reaped. Opened: the program runs on, still a child of
    /// this process, and is left to reap_programs(); an unreaped child is a zombie, which life_of()
    /// calls dead, until we end and init reaps it.
    ~GatedChild();

    [[nodiscard]] pid_t pid() const noexcept { return static_cast<pid_t>(id_.pid); }
    [[nodiscard]] const ProcessId& id() const noexcept { return id_; }
    [[nodiscard]] const PidFd& pidfd() const noexcept { return pidfd_; }

    /// Lets the child run its program, and waits until it does. Call it once, after the pid is
    /// committed.
    /// @return refused: the program could not be run, or the child was killed before; it is gone
    ///         and reaped. in_doubt: no word within 10 s (a program on a file system that hangs);
    ///         the child is left alone. order: called again, or in a forked child.
    /// @throws IoError; if the gate has been opened by then, the child is left alone too.
    [[nodiscard]] Result<void> open_gate();

    /// True once the process has ended; it has been reaped then. Never waits.
    bool reap_if_dead();

    /// "exited with status 1", "was killed by signal 9"; nothing before it was reaped, or if
    /// someone else did (a SIGCHLD handler of the embedder's, or SIGCHLD ignored).
    [[nodiscard]] std::optional<std::string> how_it_ended() const;

private:
    friend Result<GatedChild> spawn_gated(const SpawnRequest&);
    GatedChild(ProcessId id, PidFd pidfd, ForkClosedFd gate, std::string program);
    void reap_now() noexcept;
    bool reap(int options) noexcept;
    void abandon() noexcept;

    ProcessId id_;
    PidFd pidfd_;          // empty: moved from
    ForkClosedFd gate_;    // our end; the child's reports come back through it
    std::string program_;  // for messages
    std::uint64_t generation_ = fork_generation();
    bool opened_ = false;  // the byte is sent: the program may run, so it is no longer ours to end
    bool reaped_ = false;
    int end_code_ = 0;    // CLD_EXITED and so on; 0: not known
    int end_status_ = 0;  // exit status or signal, as end_code_ has it
};

/// Reaps the programs that this process let go, whose GatedChild is gone, and that have ended
/// since; no other child of the embedder's. Each creation, destruction and striking off does this,
/// so that nobody has to: no more zombies stay than QEMUs have ended and were not looked after. Any
/// thread.
void reap_programs() noexcept;

}  // namespace xlstore

#endif  // XLSTORE_STORE_SPAWN_HPP_
