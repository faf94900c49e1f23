// SPDX-License-Identifier: MIT
// A connection to a QEMU's monitor that is proved to lead to the registered QEMU (R11) and behind
// the barrier (R12). It is a witness: only a Monitor can probe or carry out a plan, and it is kept
// until the settle is committed, because a monitor serves one client, and a connected one keeps
// others from looking. In-band commands, one at a time; but what an operation is to ask first is
// sent together with the barrier's command. One thread, one loop.
#ifndef XLSTORE_STORE_QMP_MONITOR_HPP_
#define XLSTORE_STORE_QMP_MONITOR_HPP_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/base/error.hpp"
#include "store/base/file_identity.hpp"
#include "store/event/loop.hpp"
#include "store/model/qemu_registration.hpp"
#include "store/os/held_processes.hpp"
#include "store/os/process.hpp"
#include "store/qmp/listing.hpp"
#include "store/qmp/protocol.hpp"

namespace xlstore::qmp {

struct MonitorConnection;

/// Who has to be at the other end of a monitor that no registration tells of yet.
struct Expected {
    ProcessId qemu;
    /// Another process called listen(): the kernel has to show that `qemu` holds the other end of
    /// the very connection that was made (store/os/listener.hpp).
    bool handed_in = false;
};

class Monitor {
public:
    Monitor(Monitor&&) noexcept;
    Monitor& operator=(Monitor&&) noexcept;
    Monitor(const Monitor&) = delete;
    Monitor& operator=(const Monitor&) = delete;
    ~Monitor();

    /// Connects, proves the peer, passes the barrier. `subject` names the domain in errors.
    /// Errors, with nothing changed: no_qemu (the registered process is dead), refused (it is not
    /// the registered QEMU), protocol (hang-up, nonsense), timeout (silence, or the accept queue
    /// stays full). Of silence the error says why, as far as can be seen: QEMU is stopped, or other
    /// processes are connected (they are named).
    static Task<Result<Monitor>> connect(Loop& loop, Registration registration, std::string subject,
                                         Deadline until);
    /// The same; `ahead` is sent in one piece with the barrier's command, and not waited for. An
    /// execute() of what comes next in it takes the reply that is on its way; one of anything else
    /// throws them all away. QEMU answers in order, so that each of these replies is one from
    /// behind the barrier (R12), and they are questions, so that nothing is changed that is not
    /// committed (R10). @throws std::logic_error: one of them is none.
    /// `qemus`: processes that were proved before (R11); it outlives the task.
    static Task<Result<Monitor>> connect_asking(Loop& loop, HeldProcesses& qemus,
                                                Registration registration, std::string subject,
                                                std::vector<Question> ahead, Deadline until);
    /// For a first registration: connects, proves that `expected` is at the other end, passes the
    /// barrier and says who the peer is. A peer that is not proved hears nothing, not even the
    /// barrier's command (R11). Nothing expected: the process at that path is taken as it is.
    /// Errors: as of connect(); refused (another process is there); no_qemu (`expected` died).
    struct Introduced;
    static Task<Result<Introduced>> introduce(Loop& loop, std::string path, std::string subject,
                                              std::optional<Expected> expected, Deadline until);

    /// Sends one command and waits for its reply; `file_descriptor` goes along with the first byte.
    /// A Reply that is not ok is QEMU's refusal. Errors: protocol; then the connection is over, and
    /// the command may have run or not.
    Task<Result<Reply>> execute(std::string command, std::string arguments, Deadline until,
                                int file_descriptor = -1);
    [[nodiscard]] bool usable() const noexcept;
    /// Waits until QEMU says what became of the request to let go of `device`: the name of the
    /// event (kDeviceDeleted, kUnplugRefused) that came since the last forget_unplugs(), nothing at
    /// the deadline. Only a hint.
    Task<Result<std::string>> wait_for_unplug(std::string device, Deadline until);
    void forget_unplugs() noexcept;
    /// What QEMU has listed over this connection and still stands, as of what was read of it.
    [[nodiscard]] Listing& listing() noexcept { return listing_of(*connection_); }
    /// Reads what QEMU has sent unasked by now, without waiting: an event ends what the listing
    /// says, and what the replies before it say that were asked for ahead. REQUIRES that no command
    /// is outstanding.
    void catch_up();

private:
    explicit Monitor(std::unique_ptr<MonitorConnection> connection);
    static Task<Result<std::unique_ptr<MonitorConnection>>> open(Loop& loop, std::string path,
                                                                 std::string subject,
                                                                 std::optional<ProcessId> qemu,
                                                                 Deadline until);
    static Task<Result<void>> greet(MonitorConnection& connection, const Expected* holder,
                                    Deadline until);
    static Task<Result<void>> barrier(MonitorConnection& connection, std::vector<Question> ahead,
                                      Deadline until);
    static Listing& listing_of(MonitorConnection& connection) noexcept;

    std::unique_ptr<MonitorConnection> connection_;
};

struct Monitor::Introduced {
    Monitor monitor;
    Peer peer;
    FileIdentity socket;
};

}  // namespace xlstore::qmp

#endif  // XLSTORE_STORE_QMP_MONITOR_HPP_
