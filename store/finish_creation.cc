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

// A thing of the document, what would put it into QEMU, and whether QEMU has it.
struct Sought {
    ThingRow thing;
    std::optional<Draft> draft;  // nothing: QEMU is not its primary
    bool there = true;
};

// What QEMU was born with, before anything is added to it. A second finisher keeps the first's.
Task<Result<void>> write_baseline(Store& store, Engine& engine, Deadline until)
{
    if (engine.domain().has_baseline) co_return Result<void>();
    auto baseline = co_await take_inventory(engine.monitor(), until);
    if (!baseline) co_return std::move(baseline).error();
    co_return co_await engine.journal().commit(
        engine.hold(), "baseline", until, [&](const FastHold& fast) -> Result<void> {
            store.db()
                .prepare("UPDATE domain SET baseline = ? WHERE id = ?")
                .bind(inventory_to_json(*baseline))
                .bind(value_of(fast.domain()))
                .run();
            return {};
        });
}

// A finisher that died may have left intents of its own.
Task<Result<void>> resolve_left_open(Store& store, Engine& engine, Deadline until)
{
    for (const auto id : open_intents(store.db(), engine.domain().id)) {
        auto intents = read_batch(store.db(), id);
        if (!intents && intents.error().code == Errc::not_found) continue;  // with its batch
        if (!intents) co_return std::move(intents).error();
        auto resolved = co_await engine.resolve(*std::move(intents), until);
        if (!resolved) co_return std::move(resolved).error();
    }
    co_return Result<void>();
}

Task<std::vector<Sought>> seek_things(Store& store, Engine& engine, Deadline until)
{
    std::vector<Sought> sought;
    for (auto& thing : read_things(store.db(), engine.domain().id)) {
        Sought one{std::move(thing), std::nullopt, true};
        one.draft = wanted(one.thing);
        if (one.draft) {
            const auto evidence =
                co_await look(engine.monitor(), one.draft->verb, one.draft->plan.probe, until);
            one.there = evidence.image == Image::after && !evidence.half;
        }
        sought.push_back(std::move(one));
    }
    co_return sought;
}

void write_sought(Db& db, DomainId domain, const Sought& one)
{
    db.prepare(
          "UPDATE thing SET state = ?1, changed_us = ?2 WHERE id = ?3 AND state <> ?1 AND "
          "NOT EXISTS (SELECT 1 FROM intent WHERE thing = ?3)")
        .bind(one.there ? "present" : "stale")
        .bind(now_us())
        .bind(one.thing.id)
        .run();
    if (!one.there || !one.draft) return;
    for (const auto& product : one.draft->plan.probe.products)
        db.prepare(
              "INSERT INTO product (domain, kind, name, thing) VALUES (?, ?, ?, ?) "
              "ON CONFLICT DO NOTHING")
            .bind(value_of(domain))
            .bind(product.kind)
            .bind(product.name)
            .bind(one.thing.id)
            .run();
}

// Each qmp thing of the document is looked for; what is not there is attached, as libxl does.
// Value: what could not be.
Task<Result<std::vector<std::string>>> put_things(Store& store, Engine& engine, Deadline until)
{
    auto sought = co_await seek_things(store, engine, until);
    auto born = co_await engine.journal().commit(
        engine.hold(), "born", until, [&](const FastHold& fast) -> Result<void> {
            for (const auto& one : sought)
                write_sought(store.db(), fast.domain(), one);
            return {};
        });
    if (!born) co_return std::move(born).error();
    std::vector<std::string> notes;
    for (auto& one : sought) {
        if (one.there) continue;
        auto done = co_await engine.operate(*std::move(one.draft), until);
        if (done) continue;
        if (done.error().code == Errc::gone || done.error().code == Errc::lost)
            co_return std::move(done).error();
        notes.push_back(done.error().message);
    }
    co_return notes;
}

Task<Result<void>> write_running(Store& store, Engine& engine, const DomainRow& domain,
                                 Deadline until)
{
    co_return co_await engine.journal().commit(
        engine.hold(), "running", until, [&](const FastHold& fast) -> Result<void> {
            store.db()
                .prepare(
                    "UPDATE domain SET state = 'running', creator = NULL, "
                    "born_us = coalesce(born_us, ?) WHERE id = ?")
                .bind(now_us())
                .bind(value_of(fast.domain()))
                .run();
            engine.journal().add_history(
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
}

}  // namespace

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
    auto baseline = co_await write_baseline(store, *engine, until);
    if (!baseline) co_return std::move(baseline).error();
    auto resolved = co_await resolve_left_open(store, *engine, until);
    if (!resolved) co_return std::move(resolved).error();
    auto notes = co_await put_things(store, *engine, until);
    if (!notes) co_return std::move(notes).error();
    // A step that lost the connection has only noted it.
    if (auto answers = co_await engine->stay_connected(until); !answers) {
        if (life_of(domain.registration->qemu) == Life::dead) co_return died(domain);
        co_return std::move(answers).error();
    }
    auto running = co_await write_running(store, *engine, domain, until);
    if (!running) co_return std::move(running).error();
    Created created{*read_domain(store.db(), domain.id), *std::move(notes)};
    co_return std::move(created);
}

}  // namespace xlstore
