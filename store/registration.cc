// SPDX-License-Identifier: MIT
#include <algorithm>
#include <fstream>

#include "store/class_plan.hpp"
#include "store/inventory.hpp"
#include "store/json_text.hpp"
#include "store/lifecycle.hpp"
#include "store/probe.hpp"

namespace xlstore {

namespace {

constexpr auto kMonitorPoll = std::chrono::milliseconds(10);
constexpr std::size_t kLogTail = 300;

// QEMU's last words, for the error that says it died. Its text is quoted and bounded.
std::string log_tail(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    std::string text;
    file.seekg(0, std::ios::end);
    const auto size = static_cast<std::streamoff>(file.tellg());
    file.seekg(std::max<std::streamoff>(0, size - static_cast<std::streamoff>(kLogTail)));
    std::string line;
    while (std::getline(file, line))
        if (!line.empty()) text = line;
    return text.empty() ? "it wrote nothing" : "its log ends with " + qmp::printable(text);
}

Error died(const DomainRow& domain)
{
    return Error(Errc::refused,
                 domain.subject() + ": QEMU (pid " + std::to_string(domain.registration->qemu.pid) +
                     ") died while starting: " + log_tail(domain.log_path),
                 "its log is " + domain.log_path);
}

// Waits until the monitor of a QEMU that is starting answers, or the process is dead.
Task<Result<qmp::Monitor::Introduced>> first_answer(Store& store, ProcessId qemu, std::string path,
                                                    std::string subject, Deadline until)
{
    for (;;) {
        const bool dead = life_of(qemu) == Life::dead;  // asked before the attempt: its last chance
        if (file_identity(path)) {
            auto introduced = co_await qmp::Monitor::introduce(store.loop(), path, subject, until);
            if (introduced || introduced.error().code == Errc::busy) co_return introduced;
        }
        if (dead) co_return Error(Errc::no_qemu, subject + ": QEMU is dead");
        if (Clock::now() >= until)
            co_return Error(Errc::protocol,
                            subject + ": QEMU's monitor " + path + " did not answer in time");
        (void)co_await store.loop().sleep(std::min(until, Clock::now() + kMonitorPoll));
    }
}

std::optional<Draft> wanted(const ThingRow& thing)
{
    if (thing.primary != "qemu") return std::nullopt;
    const auto path = json_get_string(thing.json, "pdev_path").value_or("");
    const bool disk = thing.name.device_class == "disks";
    auto draft = disk ? (path.empty() ? draft_eject(thing) : draft_insert(thing, path))
                      : draft_attach(thing.name.device_class, thing.json);
    if (!draft) return std::nullopt;
    // A drive that stays empty, whatever happens on the way, takes nothing away from the document.
    if (draft->verb == Verb::change) draft->image_stale = thing.json;
    return *std::move(draft);
}

// The monitor's first answer: who is there, and on which socket. From then on it is held against
// that (R11).
Task<Result<qmp::Registration>> meet(Store& store, const DomainRow& domain, Deadline until)
{
    qmp::Registration registration = *domain.registration;
    auto answer =
        co_await first_answer(store, registration.qemu, registration.path, domain.subject(), until);
    if (answer && registration.handed_in && answer->peer.pid != registration.qemu.pid) {
        // A peer's credentials are those of whoever called listen() last. This connection may be
        // older than QEMU's own call; QEMU has answered now, so the next is not.
        {
            const auto hung_up = std::move(*answer);
        }
        answer = co_await first_answer(store, registration.qemu, registration.path,
                                       domain.subject(), until);
    }
    if (!answer) {
        if (answer.error().code == Errc::no_qemu) co_return died(domain);
        co_return std::move(answer).error();
    }
    if (!registration.handed_in && answer->peer.pid != registration.qemu.pid) {
        (void)co_await answer->monitor.execute("quit", "", until);
        // No event of that name comes: this waits until it hangs up.
        (void)co_await answer->monitor.wait_for_unplug("", until);
        co_return Error(Errc::refused,
                        domain.subject() + ": the process behind its monitor is pid " +
                            std::to_string(answer->peer.pid) + ", not the pid " +
                            std::to_string(registration.qemu.pid) +
                            " that was started (R11); it was told to quit",
                        "give the command of QEMU itself: no -daemonize, no wrapper");
    }
    registration.peer = answer->peer;
    registration.socket = answer->socket;
    co_return registration;
}

}  // namespace

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

Task<Result<Created>> finish_creation(Store& store, DomainRow domain, SlowHold hold, Deadline until)
{
    if (domain.registration && domain.registration->socket.inode == 0) {
        auto registration = co_await meet(store, domain, until);
        if (!registration) co_return std::move(registration).error();
        auto written =
            co_await write_registration(store, hold, *registration, domain.log_path, until);
        if (!written) co_return std::move(written).error();
    }
    auto engine = co_await Engine::begin_under(store, domain, std::move(hold), until);
    if (!engine) co_return std::move(engine).error();
    Created created{engine->domain(), {}};

    // What QEMU was born with, before anything is added to it. A second finisher keeps the first's.
    if (!engine->domain().has_baseline) {
        auto baseline = co_await take_inventory(engine->monitor(), until);
        if (!baseline) co_return std::move(baseline).error();
        auto written = co_await engine->journal().commit(
            engine->hold(), "baseline", until, [&](const FastHold& fast) -> Result<void> {
                store.db()
                    .prepare("UPDATE domain SET baseline = ? WHERE id = ?")
                    .bind(inventory_to_json(*baseline))
                    .bind(value_of(fast.domain()))
                    .run();
                return {};
            });
        if (!written) co_return std::move(written).error();
    }
    // A finisher that died may have left intents of its own.
    for (const auto id : open_intents(store.db(), domain.id)) {
        auto intents = read_batch(store.db(), id);
        if (!intents && intents.error().code == Errc::not_found) continue;  // with its batch
        if (!intents) co_return std::move(intents).error();
        auto resolved = co_await engine->resolve(*std::move(intents), until);
        if (!resolved) co_return std::move(resolved).error();
    }

    // Each qmp thing of the document is looked for; what is not there is attached, as libxl does.
    struct Missing {
        ThingRow thing;
        Draft draft;
    };
    std::vector<Missing> missing;
    std::vector<std::string> states;
    const auto things = read_things(store.db(), domain.id);
    for (const auto& thing : things) {
        auto draft = wanted(thing);
        std::string state = "present";
        if (draft) {
            const auto evidence =
                co_await look(engine->monitor(), draft->verb, draft->plan.probe, until);
            if (!evidence.image || evidence.half || *evidence.image != Image::after) {
                state = "stale";
                missing.push_back(Missing{thing, *std::move(draft)});
            }
        }
        states.push_back(std::move(state));
    }
    auto born = co_await engine->journal().commit(
        engine->hold(), "born", until, [&](const FastHold&) -> Result<void> {
            for (std::size_t i = 0; i < things.size(); ++i) {
                store.db()
                    .prepare(
                        "UPDATE thing SET state = ?1, changed_us = ?2 WHERE id = ?3 AND state <> "
                        "?1 AND "
                        "NOT EXISTS (SELECT 1 FROM intent WHERE thing = ?3)")
                    .bind(states[i])
                    .bind(now_us())
                    .bind(things[i].id)
                    .run();
                const auto draft = states[i] == "present" ? wanted(things[i]) : std::nullopt;
                if (!draft) continue;
                for (const auto& product : draft->plan.probe.products)
                    store.db()
                        .prepare(
                            "INSERT INTO product (domain, kind, name, thing) VALUES (?, ?, ?, ?) "
                            "ON CONFLICT DO NOTHING")
                        .bind(value_of(domain.id))
                        .bind(product.kind)
                        .bind(product.name)
                        .bind(things[i].id)
                        .run();
            }
            return {};
        });
    if (!born) co_return std::move(born).error();
    for (auto& one : missing) {
        auto done = co_await engine->operate(std::move(one.draft), until);
        if (done) continue;
        if (done.error().code == Errc::gone || done.error().code == Errc::lost)
            co_return std::move(done).error();
        created.notes.push_back(done.error().message);
    }

    // Whoever looked or attached and lost the connection has only noted it.
    if (auto answers = co_await engine->stay_connected(until); !answers) {
        if (life_of(domain.registration->qemu) == Life::dead) co_return died(domain);
        co_return std::move(answers).error();
    }
    auto running = co_await engine->journal().commit(
        engine->hold(), "running", until, [&](const FastHold& fast) -> Result<void> {
            store.db()
                .prepare(
                    "UPDATE domain SET state = 'running', creator = NULL, "
                    "born_us = coalesce(born_us, ?) WHERE id = ?")
                .bind(now_us())
                .bind(value_of(fast.domain()))
                .run();
            engine->journal().add_history(
                HistoryLine{fast.domain(),
                            domain.born ? "start" : "create",
                            {},
                            {},
                            "done",
                            {},
                            "QEMU " + std::to_string(domain.registration->qemu.pid) +
                                " answers at " + domain.registration->path});
            return {};
        });
    if (!running) co_return std::move(running).error();
    created.domain = *read_domain(store.db(), domain.id);
    co_return std::move(created);
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
                        "destroy the domain, or run xlfsck");
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
