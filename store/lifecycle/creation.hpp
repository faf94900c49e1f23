// SPDX-License-Identifier: MIT
// A creation in steps, for an embedder that starts QEMU itself; create_domain() is these steps in a
// row. A soft reset is the same for a row that is there already: its document outlives its QEMU.
//
//   begin ------------> child or spawn ------------> finish --> running
//     the row is there,    the pid is in the row,       |
//     the slow lock held   then it may run (R13)        +-> failed: nothing is left running
//        |
//        +-> without_qemu, and Xen makes the domain -> finish
//
// A creation holds the slow lock from the row's first commit to its end, so that recovery can tell
// a creator at work from one that died. QEMU does not begin to run before its pid is in the row
// (R13).
#ifndef XLSTORE_STORE_LIFECYCLE_CREATION_HPP_
#define XLSTORE_STORE_LIFECYCLE_CREATION_HPP_

#include <optional>
#include <string>
#include <vector>

#include "store/core/store.hpp"
#include "store/lifecycle/finish_creation.hpp"
#include "store/model/domain_row.hpp"
#include "store/os/spawn.hpp"

namespace xlstore {

/// One belongs to its store and to its thread. Destroyed before it is finished, it leaves the row
/// as a creator that died does: to recovery, which takes over a QEMU that runs.
class Creation {
public:
    /// Commits the row and its document, and keeps the slow lock. Errors: invalid, exists (the
    /// domid is taken), gone (a destruction came first, R14), timeout.
    /// `things`: as create_domain() has them.
    static Task<Result<Creation>> begin(Store& store, std::int64_t domid, std::string document,
                                        std::string what, Deadline until, std::string things = {});
    /// For a running domain that is to have a new QEMU: kills the one it has, sees it dead, settles
    /// its intents by that (R5) and unregisters it; its things are stale until finish() puts them
    /// in. Errors: timeout, gone, refused (it is being created, was created without a QEMU, or its
    /// document is closed); io (its QEMU cannot be looked at: nothing was changed); unfinished (it
    /// was killed, and the row could not be brought to that). A failure later leaves the domain
    /// without a QEMU, never without its document.
    static Task<Result<Creation>> begin_again(Store& store, DomainRow domain, Deadline until);

    [[nodiscard]] const DomainRow& domain() const noexcept { return domain_; }
    /// Where the library puts QEMU's monitor and log: names that nothing has had before (R11). A
    /// destruction removes that socket.
    [[nodiscard]] const std::string& monitor_path() const noexcept { return monitor_path_; }
    [[nodiscard]] const std::string& log_path() const noexcept { return log_path_; }

    /// Registers a child that waits at a start barrier. REQUIRES that it cannot run before this
    /// returns, nor ever once this process died. `handed_in`: the socket was made for QEMU, which
    /// is then not the peer; else nothing may stand at `monitor_path`. Errors: exists (registered
    /// elsewhere; the path is taken, with its listener), gone, lost, order (one was started before,
    /// and is not known to be dead).
    Task<Result<void>> child(ProcessId qemu, std::string monitor_path, std::string log_path,
                             bool handed_in, Deadline until);
    /// Forks it, registers it, and opens its start barrier. Errors besides: refused (no such
    /// program, or it cannot be run), invalid, timeout, io: no process is left, and it may be
    /// called again; in_doubt: it is registered, may begin to run, and finish() waits for it.
    Task<Result<ProcessId>> spawn(SpawnRequest request, std::string monitor_path, bool handed_in,
                                  Deadline until);
    /// No QEMU stands for this domain: Xen and xenstore are all that has it. To be called before
    /// Xen is asked to make it, so that recovery asks Xen, and not for a process. finish() follows
    /// when it is made. Errors: refused (its document is not that of a PV or PVH domain; a soft
    /// reset), order (a QEMU is registered), gone, lost.
    Task<Result<void>> without_qemu(Deadline until);
    /// From the monitor's first answer to the running domain. On failure nothing is left running: a
    /// creation's row is retired, a soft reset's keeps its document. It is over either way.
    Task<Result<Created>> finish(Deadline until);
    /// Ends it as a failure: what finish() does when it fails. The error with what became of it.
    Task<Error> give_up(Error failure);

private:
    Task<Result<Created>> bring_up(Deadline until);
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

/// Starts `command` (QEMU; its own monitor is added) as domain `domid` with this document, and
/// returns when it runs. Errors: invalid (document, command, a path too long for a socket), exists
/// (the domid is taken), gone (a destruction came first), refused (QEMU died while starting,
/// daemonized, or is wrapped), timeout: nothing is left running and the row is retired. `things`:
/// what came with a document from another store (store/operation/migration.hpp); "": nothing did.
Task<Result<Created>> create_domain(Store& store, std::int64_t domid, std::string document,
                                    std::string what, std::vector<std::string> command,
                                    Deadline until, std::string things = {});

/// Gives a running domain a new QEMU: the old one is killed and seen dead, its intents settled by
/// that; row and document stay, and what the document has is put into the new QEMU. Whether the
/// command's program is there is looked at before. Errors: timeout, gone, io (the old one cannot be
/// looked at: nothing was changed); refused (as of begin_again(), or there is no such program:
/// nothing was changed; or the new one died, daemonized or is wrapped: the domain has no QEMU then,
/// and keeps its document); unfinished (the old one was killed, and what failed then is none of
/// these: a soft reset goes on).
Task<Result<Created>> soft_reset(Store& store, DomainRow domain, std::vector<std::string> command,
                                 Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_CREATION_HPP_
