// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "store/class_plan.hpp"
#include "store/document.hpp"
#include "store/edit.hpp"
#include "store/json_text.hpp"
#include "store/lifecycle.hpp"
#include "store/probe.hpp"
#include "store/spawn.hpp"
#include "store/trace.hpp"

namespace xlstore {

namespace {

constexpr auto kMonitorPoll = std::chrono::milliseconds(10);
constexpr auto kCleanUp = std::chrono::seconds(10);
constexpr std::size_t kLogTail = 300;
constexpr std::size_t kIdDigits = 10;

std::int64_t boottime_us()
{
    timespec t{};
    clock_gettime(CLOCK_BOOTTIME, &t);
    return std::int64_t{t.tv_sec} * 1'000'000 + t.tv_nsec / 1000;
}

// R14: a destruction that came before this creation wins, once.
bool forestalled(Db& db, std::int64_t domid, const std::string& uuid, const std::string& boot_id)
{
    db.prepare("DELETE FROM tombstone WHERE boot_id <> ? OR until_us < ?")
        .bind(boot_id)
        .bind(boottime_us())
        .run();
    db.prepare("DELETE FROM tombstone WHERE domid = ? AND uuid = ?").bind(domid).bind(uuid).run();
    return db.changes() > 0;
}

// REQUIRES the gate: inserts the row and its document. Things are `entry_state`.
Result<DomainId> insert_domain(Store& store, std::int64_t domid, const Document& document,
                               DomainState state, std::string_view entry_state)
{
    Db& db = store.db();
    auto living =
        db.prepare("SELECT name, state FROM domain WHERE domid = ? AND state <> 'destroyed'")
            .bind(domid);
    if (living.step())
        return Error(Errc::exists,
                     "domain " + std::to_string(domid) + " (" + living.text(0) +
                         ") is in the store, " + living.text(1) + " (R14)",
                     "destroy it first, or use another domid");
    db.prepare(
          "INSERT INTO domain (domid, uuid, name, state, layout, boot_id, creator, created_us, "
          "changed_us) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)")
        .bind(domid)
        .bind(document.uuid)
        .bind(document.name)
        .bind(state_name(state))
        .bind(layout_name(document.layout))
        .bind(store.self().boot_id)
        .bind(state == DomainState::creating ? std::optional(store.session()) : std::nullopt)
        .bind(now_us())
        .run();
    const auto id = db.last_insert_id();
    XLSTORE_TRACE("row", id, std::string(state_name(state)));
    insert_members(db, DomainId(id), document.members);
    for (const auto& thing : document.things)
        db.prepare(
              "INSERT INTO thing (domain, class, key, position, primary_at, state, json, "
              "changed_us) "
              "VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(id)
            .bind(thing.device_class)
            .bind(thing.key)
            .bind(thing.position)
            .bind(primary_name(thing.primary))
            .bind(entry_state)
            .bind(thing.json)
            .bind(now_us())
            .run();
    return DomainId(id);
}

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

std::vector<std::string> with_monitor(std::vector<std::string> command, const std::string& path)
{
    std::string escaped;  // a comma ends an option of QEMU's, unless doubled
    for (const char c : path)
        escaped.append(c == ',' ? 2 : 1, c);
    command.insert(command.end(),
                   {"-chardev", "socket,id=xlstore-cmd,path=" + escaped + ",server=on,wait=off",
                    "-mon", "chardev=xlstore-cmd,mode=control"});
    return command;
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
        if (dead)
            co_return Error(Errc::no_qemu, subject + ": QEMU (pid " + std::to_string(qemu.pid) +
                                               ") died while starting");
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
    return *std::move(draft);
}

// Writes the registered QEMU into the row, under the slow hold (R11, R13).
Task<Result<void>> write_registration(Store& store, SlowHold& hold, qmp::Registration registration,
                                      std::string log_path, Deadline until)
{
    Journal journal(store);
    co_return co_await journal.commit(
        hold, "register", until, [&](const FastHold& fast) -> Result<void> {
            // One QEMU, one slow lock: registered twice, it would be changed under two.
            auto other =
                store.db()
                    .prepare(
                        "SELECT domid FROM domain WHERE id <> ? AND qemu_pid = ? AND qemu_start_time = ? "
                        "AND qemu_pid_namespace = ? AND boot_id = ? AND state <> 'destroyed'")
                    .bind(value_of(fast.domain()))
                    .bind(registration.qemu.pid)
                    .bind(static_cast<std::int64_t>(registration.qemu.start_time))
                    .bind(static_cast<std::int64_t>(registration.qemu.pid_namespace))
                    .bind(registration.qemu.boot_id);
            if (other.step())
                return Error(Errc::exists,
                             "QEMU " + std::to_string(registration.qemu.pid) +
                                 " is registered already, as that of domain " + other.text(0),
                             "name the monitor of this domain's own QEMU");
            store.db()
                .prepare(
                    "UPDATE domain SET state = 'creating', creator = ?, qemu_pid = ?, "
                    "qemu_start_time = ?, "
                    "qemu_pid_namespace = ?, monitor_path = ?, monitor_device = ?, monitor_inode = "
                    "?, peer_pid = ?, "
                    "peer_uid = ?, peer_gid = ?, monitor_handed_in = ?, boot_id = ?, log_path = ? "
                    "WHERE id = ?")
                .bind(store.session())
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
                .bind(value_of(fast.domain()))
                .run();
            return {};
        });
}

struct NewRow {
    DomainId id{};
    std::optional<SlowHold> hold;
    bool forestalled = false;
};

// The monitor's first answer: who is there, and on which socket. From then on it is held against
// that (R11).
Task<Result<qmp::Registration>> meet(Store& store, const DomainRow& domain, Deadline until)
{
    qmp::Registration registration = *domain.registration;
    auto answer =
        co_await first_answer(store, registration.qemu, registration.path, domain.subject(), until);
    if (!answer) {
        if (answer.error().code == Errc::no_qemu)
            co_return Error(Errc::refused,
                            answer.error().message + ": " + log_tail(domain.log_path),
                            "its log is " + domain.log_path);
        co_return std::move(answer).error();
    }
    if (answer->peer.pid != registration.qemu.pid) {
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

Result<void> check_domid(std::int64_t domid)
{
    if (domid < 0 || domid > 32751)
        return Error(Errc::invalid,
                     "domid " + std::to_string(domid) + " is out of range: 0 to 32751");
    return {};
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
        auto baseline = co_await take_baseline(engine->monitor(), until);
        if (!baseline) co_return std::move(baseline).error();
        auto written = co_await engine->journal().commit(
            engine->hold(), "baseline", until, [&](const FastHold& fast) -> Result<void> {
                store.db()
                    .prepare("UPDATE domain SET baseline = ? WHERE id = ?")
                    .bind(*baseline)
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

    auto running = co_await engine->journal().commit(
        engine->hold(), "running", until, [&](const FastHold& fast) -> Result<void> {
            store.db()
                .prepare("UPDATE domain SET state = 'running', creator = NULL WHERE id = ?")
                .bind(value_of(fast.domain()))
                .run();
            engine->journal().add_history(
                HistoryLine{fast.domain(),
                            "create",
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

namespace {

// R13: the child exists, its pid is in the row, then its gate opens.
Task<Result<Created>> start_qemu(Store& store, DomainRow domain, SlowHold hold,
                                 std::vector<std::string> command, Deadline until)
{
    const std::string stem = std::to_string(value_of(domain.id));
    const std::string socket = store.directory() + "/run/qmp-" + stem;
    SpawnRequest request;
    request.argv = with_monitor(std::move(command), socket);
    request.log_path = store.directory() + "/run/qemu-" + stem + ".log";
    auto child = spawn_gated(request);
    if (!child)
        co_return Error(child.error().code == Errc::not_found ? Errc::refused : child.error().code,
                        domain.subject() + ": " + child.error().message, "nothing was started");

    XLSTORE_TRACE("spawned", value_of(domain.id), "pid=" + std::to_string(child->id().pid));

    qmp::Registration registration;
    registration.qemu = child->id();
    registration.path = socket;
    auto written = co_await write_registration(store, hold, registration, request.log_path, until);
    if (!written) co_return std::move(written).error();
    XLSTORE_TRACE("gate", value_of(domain.id));
    if (auto opened = child->open_gate(); !opened) co_return std::move(opened).error();
    co_return co_await finish_creation(store, *read_domain(store.db(), domain.id), std::move(hold),
                                       until);
}

}  // namespace

Task<Result<Created>> create_domain(Store& store, std::int64_t domid, std::string document_text,
                                    std::string what, std::vector<std::string> command,
                                    Deadline until)
{
    if (auto ok = check_domid(domid); !ok) co_return std::move(ok).error();
    auto document = parse_document(document_text, what);
    if (!document) co_return std::move(document).error();
    if (command.empty()) co_return Error(Errc::invalid, "no QEMU command was given");
    const auto longest =
        store.directory().size() + std::string_view("/run/qmp-").size() + kIdDigits;
    if (longest >= sizeof(sockaddr_un::sun_path))
        co_return Error(Errc::invalid,
                        "the store's directory is too long for QEMU's monitor: " +
                            store.directory() + "/run/qmp-N would have " + std::to_string(longest) +
                            " bytes, a socket's path may have " +
                            std::to_string(sizeof(sockaddr_un::sun_path) - 1),
                        "keep the store in a shorter directory");

    auto row =
        co_await store.with_gate("create", until, [&](const GateHold& gate) -> Result<NewRow> {
            NewRow fresh;
            if (forestalled(store.db(), domid, document->uuid, store.self().boot_id)) {
                XLSTORE_TRACE("forestalled", 0);
                fresh.forestalled =
                    true;  // committed: it is used up by the creation that it defeats
                return fresh;
            }
            auto id = insert_domain(store, domid, *document, DomainState::creating, "adding");
            if (!id) return std::move(id).error();
            auto hold = store.slow_lock_of_new(gate, *id, "create");
            if (!hold) return std::move(hold).error();
            fresh.id = *id;
            fresh.hold.emplace(*std::move(hold));
            return fresh;
        });
    if (!row) co_return std::move(row).error();
    if (row->forestalled)
        co_return Error(Errc::gone,
                        "domain " + std::to_string(domid) + " (" + document->name +
                            ") was destroyed before it was created (R14)",
                        "create it again if that was not meant");
    const DomainRow domain = *read_domain(store.db(), row->id);

    std::optional<Error> failure;
    try {
        auto created =
            co_await start_qemu(store, domain, *std::move(row->hold), std::move(command), until);
        if (created) co_return created;
        failure = std::move(created).error();
    } catch (const std::exception& e) {
        // Whatever broke: a creation that is reported as failed leaves no QEMU behind.
        failure = Error(Errc::io, domain.subject() + ": " + e.what());
    }
    const auto now = read_domain(store.db(), domain.id);
    if (!now || now->state == DomainState::destroying || now->state == DomainState::destroyed)
        failure = Error(Errc::gone, domain.subject() + " was destroyed while it was created (R14)",
                        "create it again if that was not meant");
    // Nothing is left running, and the row goes: the same steps as any destruction.
    const std::string why = "its creation failed: " + failure->message;
    auto gone = co_await destroy_domain(store, domain, Clock::now() + kCleanUp, why);
    if (!gone) failure->advice += "; cleaning up failed: " + gone.error().message + ": run xlfsck";
    co_return *std::move(failure);
}

Task<Result<DomainRow>> import_domain(Store& store, std::int64_t domid, std::string document_text,
                                      std::string what, Deadline until)
{
    if (auto ok = check_domid(domid); !ok) co_return std::move(ok).error();
    auto document = parse_document(document_text, what);
    if (!document) co_return std::move(document).error();
    auto id = co_await store.with_gate("import", until, [&](const GateHold&) -> Result<DomainId> {
        auto fresh = insert_domain(store, domid, *document, DomainState::running, "present");
        if (fresh)
            Journal(store).add_history(
                HistoryLine{*fresh, "import", {}, {}, "done", {}, "document " + what});
        return fresh;
    });
    if (!id) co_return std::move(id).error();
    co_return *read_domain(store.db(), *id);
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
