// SPDX-License-Identifier: MIT
// Who a process is, and whether that very process lives (R11). A pid alone says neither: it is a
// number in one pid namespace, of one boot, and is used again. So a process is named by pid, start
// time, boot and namespace, and held by a pidfd.
//
// "Dead" is only said when it is proved; what could not be looked at is `unknown`. Takes no lock;
// any thread. Reads /proc, which must be that of the caller's own pid namespace.
#ifndef XLSTORE_STORE_OS_PROCESS_HPP_
#define XLSTORE_STORE_OS_PROCESS_HPP_

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store/base/error.hpp"
#include "store/base/fd.hpp"
#include "store/base/process_id.hpp"
#include "store/event/loop.hpp"

namespace xlstore {

enum class Life { alive, dead, unknown };

/// This boot's id. A build with XLSTORE_CRASH_POINTS takes XLSTORE_TEST_BOOT_ID from the
/// environment instead, so that a test can reboot.
/// @throws IoError
[[nodiscard]] std::string current_boot_id();

/// Inode of the caller's pid namespace. @throws IoError
[[nodiscard]] std::uint64_t current_pid_namespace();

/// Names the process that `pid` belongs to now (in the caller's namespace; a zombie has a name
/// too). The number is the caller's word: it is safe for a child not yet reaped, and for a peer
/// whose connection is then proved.
/// @return invalid: not a pid (a number that no pid can be is refused, never cut to one that fits);
///         not_found: no such process; io: it is there and cannot be looked at.
[[nodiscard]] Result<ProcessId> identify(std::int64_t pid);

/// Was `id` taken in this boot? A process of another boot is dead, but that is the caller's
/// conclusion to draw (an incarnation of an older boot is retired without a probe), so life_of()
/// says `unknown` of it. @throws IoError
[[nodiscard]] bool of_this_boot(const ProcessId& id);

/// R11. `dead`: same boot, and in its own namespace there is no such process, or the pid has passed
/// to another one, or its pidfd is readable (a zombie's is); seen from a namespace above, it is not
/// among the processes of its namespace, which would show it. `unknown`: everything that is not
/// proved, such as another boot, a namespace that is not below ours, or a process that /proc hides
/// from us. Never throws for want of descriptors or rights: that is `unknown` too. Of another
/// namespace it costs a look at every process.
[[nodiscard]] Life life_of(const ProcessId& id) noexcept;
/// life_of() of each, in their order. Whose /proc it is, is looked at before all of them and after
/// all of them, not before each; where that changed in between, or could not be seen, each is
/// looked at by itself. Empty: there was no memory for the answer.
[[nodiscard]] std::vector<Life> lives_of(const std::vector<ProcessId>& ids) noexcept;
/// Why it is `unknown`, for messages; empty: it is not.
[[nodiscard]] std::string why_unknown(const ProcessId& id);

/// Is that process stopped (by a signal, or by a debugger: T or t in /proc/PID/stat)? It then
/// neither answers nor lets go of anything until it is continued. False when that could not be
/// seen. For messages: it may be continued a moment later.
[[nodiscard]] bool is_stopped(const ProcessId& id) noexcept;

/// A hold on one process: even when its pid is given to another, this is that process or nothing.
/// Close-on-exec. A pidfd; where the system has none (valgrind before 3.21 and some sandboxes
/// answer pidfd_open with ENOSYS), the directory of the process in /proc, which ends with it too.
class PidFd {
public:
    PidFd() noexcept = default;
    /// Of the process that has this pid now. Empty, with errno, when it cannot be held: ESRCH,
    /// there is none; EINVAL or ENOENT, the number is a thread's.
    static PidFd of(std::int64_t pid) noexcept;

    explicit operator bool() const noexcept { return static_cast<bool>(fd_); }

    /// Has it ended (reaped or not)? @throws IoError when the kernel cannot be asked.
    [[nodiscard]] bool dead() const;
    /// @return not_found: it has ended and been reaped; io: not permitted.
    [[nodiscard]] Result<void> send_signal(int signal) const;
    /// True: it has ended. False: it has not by `until`. REQUIRES that this outlives the task.
    Task<bool> ended(Loop& loop, Deadline until) const;
    /// The same for as many milliseconds, keeping the thread.
    bool ended_within(int milliseconds) const noexcept;
    /// Reaps it, if it is a dead child of this process. False, with errno: it could not be asked.
    /// `info` says what became of it; si_pid 0: it lives.
    bool reap(siginfo_t& info) const noexcept;

private:
    Fd fd_;
    pid_t in_proc_ = 0;  // 0: it is a pidfd
};

/// A hold on the process `id`, proved to be that one and alive when this returns.
/// @return not_found: it is dead; io: could not look (life_of() would say unknown).
[[nodiscard]] Result<PidFd> open_pidfd(const ProcessId& id);

/// The words of its command line, with NULs between; "" when it cannot be read.
[[nodiscard]] std::string command_line(pid_t pid);
/// Does the command line of `pid` mention `text` now? False too when it cannot be read.
[[nodiscard]] bool mentions(pid_t pid, const std::string& text);

/// The processes of this pid namespace, and of those below it, as far as /proc shows them.
/// @throws IoError  /proc cannot be listed.
[[nodiscard]] std::vector<pid_t> processes();

/// The environment that `pid` was started with ("NAME=VALUE", with NULs between): what stands in
/// memory where exec put it. "" when it cannot be read, and for a zombie.
[[nodiscard]] std::string environment_of(pid_t pid);
/// Has `pid` a program that can be seen? A thread of the kernel and a zombie have none. A process
/// that has one, and of which environment_of() is "", is in the middle of exec, or was given an
/// empty environment.
[[nodiscard]] bool has_program(pid_t pid);

/// The process whose child `pid` is now. Nothing: it cannot be read.
[[nodiscard]] std::optional<pid_t> parent_of(pid_t pid);

/// The program's name (comm) for messages: printable ASCII, anything else as '?'. A process may
/// call itself what it likes, so this proves nothing. "unknown" if there is no such process.
[[nodiscard]] std::string program_of(pid_t pid);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_PROCESS_HPP_
