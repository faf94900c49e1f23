// SPDX-License-Identifier: MIT
// A registration is a dozen columns of the domain's row, which are set and cleared together: half
// of one would be a process that was never proved. With it go the initial devices, which are those
// of that QEMU (R19).
#include "store/core/registration_row.hpp"

#include "store/core/initial_devices.hpp"

namespace xlstore {

namespace {

// One QEMU, one slow lock: registered twice, it would be changed under two.
Result<void> check_no_other_has(Db& db, DomainId domain, const ProcessId& qemu)
{
    auto other =
        db.prepare(
              "SELECT domid FROM domain WHERE id <> ? AND qemu_pid = ? AND qemu_start_time = ? "
              "AND qemu_pid_namespace = ? AND boot_id = ? AND state <> 'destroyed'")
            .bind(value_of(domain))
            .bind(qemu.pid)
            .bind(static_cast<std::int64_t>(qemu.start_time))
            .bind(static_cast<std::int64_t>(qemu.pid_namespace))
            .bind(qemu.boot_id);
    if (!other.step()) return {};
    return Error(Errc::exists,
                 "QEMU " + std::to_string(qemu.pid) + " is registered already, as that of domain " +
                     other.text(0),
                 "name the monitor of this domain's own QEMU");
}

}  // namespace

Result<void> put_registration(Db& db, DomainId domain, const qmp::Registration& registration,
                              const std::string& log_path)
{
    if (auto ok = check_no_other_has(db, domain, registration.qemu); !ok) return ok;
    // The initial devices of the QEMU before are not this one's (R19).
    clear_registration(db, domain);
    db.prepare(
          "UPDATE domain SET qemu_pid = ?, qemu_start_time = ?, qemu_pid_namespace = ?, "
          "monitor_path = ?, monitor_device = ?, monitor_inode = ?, peer_pid = ?, peer_uid = ?, "
          "peer_gid = ?, monitor_handed_in = ?, boot_id = ?, log_path = ? WHERE id = ?")
        .bind(registration.qemu.pid)
        .bind(static_cast<std::int64_t>(registration.qemu.start_time))
        .bind(static_cast<std::int64_t>(registration.qemu.pid_namespace))
        .bind(registration.path)
        .bind(static_cast<std::int64_t>(registration.socket.device))
        .bind(static_cast<std::int64_t>(registration.socket.inode))
        .bind(registration.peer.pid)
        .bind(registration.peer.uid)
        .bind(registration.peer.gid)
        .bind(std::int64_t{registration.handed_in})
        .bind(registration.qemu.boot_id)
        .bind(log_path)
        .bind(value_of(domain))
        .run();
    return {};
}

void clear_registration(Db& db, DomainId domain)
{
    db.prepare(
          "UPDATE domain SET qemu_pid = NULL, qemu_start_time = NULL, qemu_pid_namespace = NULL, "
          "monitor_path = NULL, monitor_device = NULL, monitor_inode = NULL, peer_pid = NULL, "
          "peer_uid = NULL, peer_gid = NULL, monitor_handed_in = 0, creation_mark = NULL, "
          "older_state = 0 "
          "WHERE id = ?")
        .bind(value_of(domain))
        .run();
    forget_initial_devices(db, domain);
}

Error no_qemu_of(const DomainRow& domain, const std::string& boot_here)
{
    if (domain.boot_id != boot_here)
        return Error(Errc::no_qemu,
                     domain.subject() + " is of an older boot or another host, and has no QEMU",
                     "nothing was changed; 'xlfsck -p' keeps its document and frees the domid");
    return Error(
        Errc::no_qemu, domain.subject() + " has no QEMU in the store",
        "register the one that runs ('xlstore register DOM --monitor SOCKET'), or begin one "
        "('xlstore soft-reset')");
}

}  // namespace xlstore
