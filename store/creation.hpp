// SPDX-License-Identifier: MIT
// A creation in steps, for whoever starts QEMU itself; create_domain() is these steps in a row. A
// soft reset is the same for a row that is there already: its document outlives its QEMU.
//
//   begin ------------> child or spawn ------------> finish --> running
//     the row is there,    the pid is in the row,       |
//     the slow lock held   then the gate opens (R13)    +-> failed: nothing is left running
#ifndef XLSTORE_STORE_CREATION_HPP_
#define XLSTORE_STORE_CREATION_HPP_

#include <optional>
#include <string>

#include "store/domain_row.hpp"
#include "store/lifecycle.hpp"
#include "store/loop.hpp"
#include "store/spawn.hpp"
#include "store/store.hpp"
#include "store/task.hpp"

namespace xlstore {

/// One belongs to its store and to its thread. Destroyed before it is finished, it leaves the row
/// as a creator that died does: to recovery, which takes over a QEMU that runs.
class Creation {
public:
    /// Commits the row and its document, and keeps the slow lock. Errors: invalid, exists (the
    /// domid is taken), gone (a destruction came first, R14), busy.
    /// `things`: as create_domain() has them.
    static Task<Result<Creation>> begin(Store& store, std::int64_t domid, std::string document,
                                        std::string what, Deadline until, std::string things = {});
    /// For a running domain that is to have a new QEMU: kills the one it has, sees it dead, settles
    /// its intents by that (R5) and strikes it off; its things are stale until finish() puts them
    /// in. Errors: busy, gone, refused (it is being created, or its document is closed); io (QEMU's
    /// death could not be seen: the row is as it was). A failure later leaves the domain without a
    /// QEMU, never without its document.
    static Task<Result<Creation>> begin_again(Store& store, DomainRow domain, Deadline until);

    [[nodiscard]] const DomainRow& domain() const noexcept { return domain_; }
    /// Where the library puts QEMU's monitor and log: names that nothing has had before (R11). A
    /// destruction removes that socket.
    [[nodiscard]] const std::string& monitor_path() const noexcept { return monitor_path_; }
    [[nodiscard]] const std::string& log_path() const noexcept { return log_path_; }

    /// Registers a child that waits at a gate. REQUIRES that it cannot run before this returns, nor
    /// ever once this process died. `handed_in`: the socket was made for QEMU, which is then not
    /// the peer; else nothing may stand at `monitor_path`.
    /// Errors: exists (registered elsewhere; the path is taken, with its listener), gone, lost.
    Task<Result<void>> child(ProcessId qemu, std::string monitor_path, std::string log_path,
                             bool handed_in, Deadline until);
    /// Forks it, registers it, and opens its gate. Errors besides: refused (no such program, or it
    /// cannot be run), invalid. Then no process is left, and it may be called again.
    Task<Result<ProcessId>> spawn(SpawnRequest request, std::string monitor_path, bool handed_in,
                                  Deadline until);
    /// From the monitor's first answer to the running domain. On failure nothing is left running: a
    /// creation's row is retired, a soft reset's keeps its document. It is over either way.
    Task<Result<Created>> finish(Deadline until);
    /// Ends it as a failure: what finish() does when it fails. The error with what became of it.
    Task<Error> give_up(Error failure);

private:
    Task<Error> clear_away(Error failure);
    Creation(Store& store, DomainRow domain, SlowHold hold, bool again, std::string suffix);
    Task<Result<void>> enter(ProcessId qemu, std::string monitor_path, std::string log_path,
                             bool handed_in, std::string mark, Deadline until);

    Store* store_;
    DomainRow domain_;
    std::optional<SlowHold> hold_;  // nothing: it is over
    bool again_;
    std::string monitor_path_;
    std::string log_path_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_CREATION_HPP_
