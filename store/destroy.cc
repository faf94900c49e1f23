// SPDX-License-Identifier: MIT
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "store/crash_point.hpp"
#include "store/lifecycle.hpp"

namespace xlstore {

namespace {

constexpr std::int64_t kTombstoneUs = 60'000'000;

// R14: marks the row. From here on adds and edits are refused (R8), and only forward is possible.
Task<Result<void>> mark(Store& store, const DomainRow& domain, Deadline until)
{
    co_return co_await store.with_fast_lock(
        domain.id, "destroy", until, [&](const FastHold& fast) -> Result<void> {
            store.db()
                .prepare(
                    "UPDATE domain SET state = 'destroying', changed_us = ? WHERE id = ? AND state "
                    "<> 'destroying'")
                .bind(now_us())
                .bind(value_of(fast.domain()))
                .run();
            if (store.db().changes() > 0)
                Journal(store).add_history(
                    HistoryLine{fast.domain(), "destroy", {}, {}, "begun", {}, ""});
            return {};
        });
}

// The registered process is dead when this returns success; proved, not assumed (R11).
Task<Result<void>> kill_qemu(Store& store, const DomainRow& domain, Deadline until)
{
    if (!domain.registration) co_return Result<void>();
    const ProcessId& qemu = domain.registration->qemu;
    if (!of_this_boot(qemu)) co_return Result<void>();  // it died with its boot
    const std::string who = domain.subject() + ": its QEMU (pid " + std::to_string(qemu.pid) + ")";
    switch (life_of(qemu)) {
    case Life::dead:
        co_return Result<void>();
    case Life::unknown:
        co_return Error(Errc::io, who + " could not be looked at",
                        "run it where QEMU's pid namespace can be seen");
    case Life::alive:
        break;
    }
    auto process = open_pidfd(qemu);
    if (!process) {
        if (process.error().code == Errc::not_found) co_return Result<void>();
        co_return std::move(process).error();
    }
    XLSTORE_CRASH_POINT("destroy.before_kill");
    if (auto sent = process->send_signal(SIGKILL); !sent && sent.error().code != Errc::not_found)
        co_return std::move(sent).error();
    XLSTORE_CRASH_POINT("destroy.after_kill");
    while (!process->dead()) {
        if (!co_await store.loop().readable(process->fd(), until))
            co_return Error(
                Errc::io, who + " was killed and is not seen dead yet",
                "it may hang in the kernel; the domain stays 'destroying': destroy it again later");
    }
    co_return Result<void>();
}

// R14: the recorded socket only. A path may have been taken over by another QEMU meanwhile; ours
// below run/ are named by incarnation and never used again, whether or not their inode was
// recorded.
void remove_socket(const Store& store, const DomainRow& domain)
{
    if (!domain.registration) return;
    const auto& [path, recorded] =
        std::pair(domain.registration->path, domain.registration->socket);
    const bool own = path == store.directory() + "/run/qmp-" + std::to_string(value_of(domain.id));
    const auto there = file_identity(path);
    if (!there || !(there == recorded || (own && recorded.inode == 0))) return;
    XLSTORE_CRASH_POINT("destroy.before_unlink");
    unlink(path.c_str());
    XLSTORE_CRASH_POINT("destroy.after_unlink");
}

Task<Result<void>> remove_document(Store& store, const DomainRow& domain, std::string why,
                                   Deadline until)
{
    co_return co_await store.with_fast_lock(
        domain.id, "destroy", until, [&](const FastHold& fast) -> Result<void> {
            Db& db = store.db();
            const auto id = value_of(fast.domain());
            Journal journal(store);
            for (const auto intent : open_intents(db, fast.domain())) {
                auto row = db.prepare(
                                 "SELECT i.operation, t.class, t.key FROM intent i JOIN thing t "
                                 "ON t.id = i.thing WHERE i.id = ?")
                               .bind(value_of(intent));
                if (!row.step()) continue;
                journal.add_history(HistoryLine{fast.domain(),
                                                row.text(0),
                                                ThingName{row.text(1), row.text(2)},
                                                intent,
                                                "not done",
                                                {},
                                                "the domain was destroyed"});
            }
            for (const char* sql :
                 {"DELETE FROM intent WHERE domain = ?", "DELETE FROM thing WHERE domain = ?",
                  "DELETE FROM document_member WHERE domain = ?"})
                db.prepare(sql).bind(id).run();
            db.prepare(
                  "UPDATE domain SET state = 'destroyed', creator = NULL, qemu_pid = NULL, "
                  "changed_us = ? "
                  "WHERE id = ? AND state = 'destroying'")
                .bind(now_us())
                .bind(id)
                .run();
            journal.add_history(HistoryLine{fast.domain(), "destroy", {}, {}, "done", {}, why});
            return {};
        });
}

// From the mark to the end, under the destroy lock, with the row read again once it is held.
Task<Result<void>> end_domain(Store& store, DomainRow domain, bool kill, std::string why,
                              Deadline until)
{
    if (auto ok = store.check(); !ok) co_return ok;
    auto lock =
        co_await store.locks().acquire(store.loop(), LockKind::destroy, value_of(domain.id),
                                       store.make_claim("destroy"), domain.subject(), until);
    if (!lock) co_return std::move(lock).error();
    auto row = read_domain(store.db(), domain.id);
    if (!row || row->state == DomainState::destroyed) co_return Result<void>();
    if (auto marked = co_await mark(store, *row, until); !marked) co_return marked;
    row = read_domain(store.db(), domain.id);  // its QEMU may have been registered before the mark
    if (kill) {
        if (auto killed = co_await kill_qemu(store, *row, until); !killed) co_return killed;
    }
    remove_socket(store, *row);
    co_return co_await remove_document(store, *row, std::move(why), until);
}

}  // namespace

Task<Result<void>> destroy_domain(Store& store, DomainRow domain, Deadline until)
{
    co_return co_await end_domain(store, std::move(domain), true,
                                  "QEMU is dead; the document went last", until);
}

Task<Result<void>> retire_domain(Store& store, DomainRow domain, std::string why, Deadline until)
{
    co_return co_await end_domain(store, std::move(domain), false, std::move(why), until);
}

Task<Result<void>> strike_off_qemu(Store& store, DomainRow domain, SlowHold hold, Deadline until)
{
    const auto row = read_domain(store.db(), domain.id);
    if (!row || !row->registration) co_return Result<void>();
    const auto pid = std::to_string(row->registration->qemu.pid);
    if (life_of(row->registration->qemu) != Life::dead)
        co_return Error(Errc::refused,
                        row->subject() + ": its QEMU (pid " + pid + ") is not proved dead");
    const std::string evidence = "QEMU " + pid + " is dead";
    Journal journal(store);
    for (const auto id : open_intents(store.db(), row->id)) {
        const auto intent = read_intent(store.db(), id);
        if (!intent) co_return intent.error();
        const Image image = intent->draft.verb == Verb::remove ? Image::after : Image::before;
        auto settled = co_await journal.settle(hold, id, image, evidence, until);
        if (!settled) co_return settled;
    }
    remove_socket(store, *row);
    co_return co_await journal.commit(
        hold, "strike off QEMU", until, [&](const FastHold& fast) -> Result<void> {
            const auto number = value_of(fast.domain());
            store.db()
                .prepare(
                    "UPDATE thing SET state = 'stale', changed_us = ? WHERE domain = ? AND "
                    "primary_at = 'qemu' "
                    "AND state <> 'stale'")
                .bind(now_us())
                .bind(number)
                .run();
            store.db()
                .prepare(
                    "UPDATE domain SET state = 'running', creator = NULL, baseline = NULL, "
                    "qemu_pid = NULL, "
                    "qemu_start_time = NULL, qemu_pid_namespace = NULL, monitor_path = NULL, "
                    "monitor_device = NULL, "
                    "monitor_inode = NULL, peer_pid = NULL, peer_uid = NULL, peer_gid = NULL WHERE "
                    "id = ?")
                .bind(number)
                .run();
            journal.add_history(
                HistoryLine{fast.domain(), "strike off", {}, {}, "done", {}, evidence});
            return {};
        });
}

Task<Result<bool>> destroy_or_forestall(Store& store, std::int64_t domid, std::string uuid,
                                        Deadline until)
{
    auto found =
        co_await store.with_gate("destroy", until, [&](const GateHold&) -> Result<std::int64_t> {
            Db& db = store.db();
            auto row =
                db.prepare(
                      "SELECT id FROM domain WHERE domid = ? AND uuid = ? AND state <> 'destroyed'")
                    .bind(domid)
                    .bind(uuid);
            if (row.step()) return row.integer(0);
            timespec boot{};
            clock_gettime(CLOCK_BOOTTIME, &boot);
            const auto until_us =
                std::int64_t{boot.tv_sec} * 1'000'000 + boot.tv_nsec / 1000 + kTombstoneUs;
            db.prepare(
                  "INSERT INTO tombstone (domid, uuid, boot_id, until_us) VALUES (?1, ?2, ?3, ?4) "
                  "ON CONFLICT (domid, uuid) DO UPDATE SET boot_id = ?3, until_us = ?4")
                .bind(domid)
                .bind(uuid)
                .bind(store.self().boot_id)
                .bind(until_us)
                .run();
            Journal(store).add_history(
                HistoryLine{{},
                            "destroy",
                            {},
                            {},
                            "done",
                            {},
                            "no row of domid " + std::to_string(domid) + ": a tombstone was left"});
            return std::int64_t{0};
        });
    if (!found) co_return std::move(found).error();
    if (*found == 0) co_return false;
    auto destroyed =
        co_await destroy_domain(store, *read_domain(store.db(), DomainId(*found)), until);
    if (!destroyed) co_return std::move(destroyed).error();
    co_return true;
}

}  // namespace xlstore
