// SPDX-License-Identifier: MIT
#include "store/inventory.hpp"
#include "store/lifecycle.hpp"

namespace xlstore {

namespace {

Result<void> put_registration(Db& db, DomainId domain, const qmp::Registration& registration,
                              const std::string& log_path)
{
    // One QEMU, one slow lock: registered twice, it would be changed under two.
    auto other =
        db.prepare(
              "SELECT domid FROM domain WHERE id <> ? AND qemu_pid = ? AND qemu_start_time = ? "
              "AND qemu_pid_namespace = ? AND boot_id = ? AND state <> 'destroyed'")
            .bind(value_of(domain))
            .bind(registration.qemu.pid)
            .bind(static_cast<std::int64_t>(registration.qemu.start_time))
            .bind(static_cast<std::int64_t>(registration.qemu.pid_namespace))
            .bind(registration.qemu.boot_id);
    if (other.step())
        return Error(Errc::exists,
                     "QEMU " + std::to_string(registration.qemu.pid) +
                         " is registered already, as that of domain " + other.text(0),
                     "name the monitor of this domain's own QEMU");
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

}  // namespace

Task<Result<void>> write_registration(Store& store, SlowHold& hold, qmp::Registration registration,
                                      std::string log_path, Deadline until)
{
    Journal journal(store);
    co_return co_await journal.commit(
        hold, "register", until, [&](const FastHold& fast) -> Result<void> {
            auto put = put_registration(store.db(), fast.domain(), registration, log_path);
            if (!put) return put;
            store.db()
                .prepare("UPDATE domain SET state = 'creating', creator = ? WHERE id = ?")
                .bind(store.session())
                .bind(value_of(fast.domain()))
                .run();
            return {};
        });
}

Task<Result<void>> adopt_qemu(Store& store, DomainRow domain, ProcessId qemu,
                              std::string monitor_path, std::string log_path, WasBorn was_born,
                              Deadline until)
{
    auto hold = co_await store.slow_lock(domain.id, domain.subject(), "adopt QEMU", until);
    if (!hold) co_return std::move(hold).error();
    const auto row = read_domain(store.db(), domain.id);
    if (!row || row->state != DomainState::running || row->registration)
        co_return Error(Errc::conflict, domain.subject() + " has a QEMU by now, or is gone",
                        "run it again");
    auto introduced =
        co_await qmp::Monitor::introduce(store.loop(), monitor_path, row->subject(), until);
    if (!introduced) co_return std::move(introduced).error();
    if (introduced->peer.pid != qemu.pid)
        co_return Error(Errc::refused, row->subject() + ": the process behind " + monitor_path +
                                           " is pid " + std::to_string(introduced->peer.pid) +
                                           ", not pid " + std::to_string(qemu.pid) + " (R11)");
    auto there = co_await take_inventory(introduced->monitor, until);
    if (!there) co_return std::move(there).error();
    for (auto& [kind, names] : there->names)
        std::erase_if(names, [&](const std::string& name) { return !was_born(kind, name); });
    std::erase_if(there->drives, [&](const Drives::Drive& drive) {
        return !drive.file || !was_born(kMediumKind, *drive.file);
    });
    qmp::Registration registration;
    registration.qemu = std::move(qemu);
    registration.path = std::move(monitor_path);
    registration.socket = introduced->socket;
    registration.peer = introduced->peer;
    Journal journal(store);
    co_return co_await journal.commit(
        *hold, "adopt QEMU", until, [&](const FastHold& fast) -> Result<void> {
            auto put = put_registration(store.db(), fast.domain(), registration, log_path);
            if (!put) return put;
            store.db()
                .prepare(
                    "UPDATE domain SET baseline = ?, born_us = coalesce(born_us, ?) WHERE id = ?")
                .bind(inventory_to_json(*there))
                .bind(now_us())
                .bind(value_of(fast.domain()))
                .run();
            journal.add_history(HistoryLine{fast.domain(),
                                            "adopt",
                                            {},
                                            {},
                                            "done",
                                            {},
                                            "QEMU " + std::to_string(registration.qemu.pid) +
                                                " at " + registration.path + ", as it is"});
            return {};
        });
}

Task<Result<Created>> register_qemu(Store& store, DomainRow domain, std::string monitor_path,
                                    std::optional<std::int64_t> pid, bool handed_in, Deadline until)
{
    auto hold = co_await store.slow_lock(domain.id, domain.subject(), "register", until);
    if (!hold) co_return std::move(hold).error();
    const auto row = read_domain(store.db(), domain.id);
    if (!row) co_return Error(Errc::gone, domain.subject() + " is no longer in the store");
    if (row->registration && life_of(row->registration->qemu) != Life::dead)
        co_return Error(Errc::exists,
                        row->subject() + " has a QEMU registered, pid " +
                            std::to_string(row->registration->qemu.pid) +
                            ", which is not known to be dead",
                        "'xlfsck -n' says whether it lives; 'xlstore destroy' ends it with its domain");
    if (!open_intents(store.db(), row->id).empty())
        co_return Error(Errc::busy, row->subject() + " has open intents of a QEMU that died",
                        "run 'xlstore recover' first");
    auto introduced =
        co_await qmp::Monitor::introduce(store.loop(), monitor_path, row->subject(), until);
    if (!introduced) co_return std::move(introduced).error();
    const auto peer = introduced->peer;
    if (pid && *pid != peer.pid && !handed_in)
        co_return Error(Errc::refused,
                        row->subject() + ": the process behind " + monitor_path + " is pid " +
                            std::to_string(peer.pid) + ", not pid " + std::to_string(*pid) +
                            " (R11)",
                        "name QEMU's own monitor; --handed-in is for a socket that the toolstack "
                        "made for QEMU");
    auto qemu = identify(static_cast<pid_t>(pid.value_or(peer.pid)));
    if (!qemu) co_return std::move(qemu).error();
    qmp::Registration registration;
    registration.qemu = *std::move(qemu);
    registration.path = std::move(monitor_path);
    registration.socket = introduced->socket;
    registration.peer = peer;
    registration.handed_in = handed_in;
    auto written = co_await write_registration(store, *hold, registration, "", until);
    if (!written) co_return std::move(written).error();
    {
        const auto done_with = std::move(introduced);  // a monitor serves one client: hang up first
    }
    const std::string subject = row->subject();
    auto created = co_await finish_creation(store, *read_domain(store.db(), domain.id),
                                            *std::move(hold), until);
    if (!created && created.error().code != Errc::gone)
        created.error().advice =
            "QEMU is registered and " + subject + " is 'creating': 'xlstore recover' finishes it";
    co_return created;
}

}  // namespace xlstore
