// SPDX-License-Identifier: MIT
//   1. write_initial: what QEMU was started with, before anything is added to it.
//   2. resolve_left_open: intents of a finisher that died.
//   3. seek_things: each thing of QEMU's in the order in which it was made, what it depends on
//      before it, and whether QEMU has it.
//   4. put_things: what is not there is attached by its class, at the place that it had; what
//      cannot be is a note, no failure.
//   5. write_running: the row is `running`, and the stale entries of other primaries are as the
//      document says.
#include "store/lifecycle/finish_creation.hpp"

#include <algorithm>

#include "store/base/clock.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/initial_devices.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/journal.hpp"
#include "store/core/product.hpp"
#include "store/lifecycle/first_contact.hpp"
#include "store/lifecycle/registration.hpp"
#include "store/model/dependency.hpp"
#include "store/operation/engine.hpp"
#include "store/operation/host_usb_port.hpp"
#include "store/qmp/address.hpp"
#include "store/qmp/inventory.hpp"
#include "store/qmp/probe.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

// What puts the thing of `thing` into QEMU; nothing: no plan is known, or QEMU itself has to be
// asked for it (vcpus).
std::optional<Draft> wanted(const std::string& sysfs, const ThingRow& thing)
{
    const auto path = json_get_string(thing.json, "pdev_path").value_or("");
    const bool disk = thing.name.device_class == "disks";
    // A USB device may have been plugged in anew; where nothing is, QEMU says so.
    const auto now = with_usb_address(sysfs, thing.name.device_class, thing.json);
    auto draft = disk ? (path.empty() ? draft_eject(thing) : draft_insert(thing, path))
                      : draft_attach(thing.name.device_class, now ? *now : thing.json);
    if (!draft) return std::nullopt;
    // A drive that stays empty, for any reason, takes nothing away from the document.
    if (draft->verb == Verb::change) draft->image_stale = thing.json;
    draft->plan = placed_at(std::move(draft->plan), thing.address);
    draft->put_back = true;
    return *std::move(draft);
}

// A thing of QEMU's, what would put it there, and whether it is there.
struct Sought {
    ThingRow thing;
    std::optional<Draft> draft;
    Verb verb = Verb::add;
    Probe probe;  // what it is looked for by
    bool there = true;
};

// What QEMU was started with, before anything is added to it. A second finisher keeps the first's.
Task<Result<void>> write_initial(Store& store, Engine& engine, Deadline until)
{
    if (engine.domain().has_initial_devices) co_return Result<void>();
    auto there = co_await take_inventory(engine.monitor(), until);
    if (!there) co_return std::move(there).error();
    co_return co_await engine.journal().commit(
        engine.hold(), "initial devices", until, [&](const FastHold& fast) -> Result<void> {
            write_initial_devices(store.db(), fast.domain(), initial_of_creation(*there));
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

// The things of QEMU's in the order in which they were made, what they depend on before them.
std::vector<Sought> things_to_seek(Db& db, const std::string& sysfs, DomainId domain)
{
    std::vector<Sought> things;
    std::vector<Plan> plans;
    for (auto& thing : read_things_as_made(db, domain)) {
        if (thing.primary != "qemu") continue;
        Sought one;
        one.draft = wanted(sysfs, thing);
        if (one.draft) {
            one.verb = one.draft->verb;
            one.probe = one.draft->plan.probe;
        } else {
            one.probe.products = products_of(thing);
        }
        plans.push_back(one.draft ? one.draft->plan : Plan{{}, one.probe});
        one.thing = std::move(thing);
        things.push_back(std::move(one));
    }
    std::vector<Sought> ordered;
    for (const auto number : order_by_dependency(plans))
        ordered.push_back(std::move(things[number]));
    return ordered;
}

// Error protocol: QEMU did not say whether it has one of them. Absence is never guessed.
Task<Result<std::vector<Sought>>> seek_things(Store& store, Engine& engine, Deadline until)
{
    auto things = things_to_seek(store.db(), store.host().sysfs, engine.domain().id);
    for (auto& one : things) {
        if (one.probe.products.empty() && !one.probe.drive) continue;  // nothing of it can be seen
        const auto evidence = co_await run_probe(engine.monitor(), one.verb, one.probe, until);
        if (evidence.silent)
            co_return Error(Errc::protocol, engine.domain().subject() + ": whether its QEMU has " +
                                                one.thing.name.text() +
                                                " is not known: " + evidence.reason);
        one.there = evidence.image == Image::after && !evidence.half;
    }
    co_return things;
}

// Things of other primaries are as the document says.
void write_others_present(Db& db, DomainId domain)
{
    db.prepare(
          "UPDATE thing SET state = 'present', changed_us = ? WHERE domain = ? AND primary_at <> "
          "'qemu' AND state <> 'present'")
        .bind(now_us())
        .bind(value_of(domain))
        .run();
}

void write_sought(Db& db, DomainId domain, const Sought& one)
{
    // What another entry has in QEMU under these names is not this one's (R16).
    const bool there =
        one.there && claim_products(db, domain, one.thing.id, one.thing.name, one.probe.products);
    db.prepare(
          "UPDATE thing SET state = ?1, changed_us = ?2 WHERE id = ?3 AND state <> ?1 AND "
          "NOT EXISTS (SELECT 1 FROM intent WHERE thing = ?3)")
        .bind(there ? "present" : "stale")
        .bind(now_us())
        .bind(one.thing.id)
        .run();
}

// It was adopted: found in a QEMU that is gone, made by a plan that no entry has.
Error no_plan(const DomainRow& domain, const ThingName& thing)
{
    return Error(Errc::refused,
                 domain.subject() + ": " + thing.text() +
                     " was found in its earlier QEMU, and how it is made is not known: attach it "
                     "with a plan");
}

Task<Result<Draft>> draft_of(Engine& engine, Sought one, Deadline until)
{
    if (one.draft) co_return *std::move(one.draft);
    if (one.thing.name.device_class != "vcpus") co_return no_plan(engine.domain(), one.thing.name);
    auto slots = co_await query(engine.monitor(), "query-hotpluggable-cpus", "", until);
    if (!slots) co_return std::move(slots).error();
    if (const auto few = listed(*slots, "query-hotpluggable-cpus"); !few) co_return few.error();
    auto draft = draft_attach_vcpu(one.thing.json, *slots);
    if (draft) draft->put_back = true;
    co_return draft;
}

// One that is not there, at the place that it had. Value: what is to be said of it, "" nothing.
// Errors: gone, lost.
Task<Result<std::string>> put_back(Store& store, Engine& engine, Sought one, Deadline until)
{
    const ThingRow thing = one.thing;
    auto draft = co_await draft_of(engine, std::move(one), until);
    Outcome done = Error(Errc::refused, "");
    if (draft)
        done = co_await engine.operate(*std::move(draft), until);
    else
        done = std::move(draft).error();
    const std::string place = thing.address.empty() ? "" : shown_addresses(thing.address);
    if (!done) {
        if (done.error().code == Errc::gone || done.error().code == Errc::lost)
            co_return std::move(done).error();
        std::string note = done.error().message;
        if (!place.empty() && done.error().code == Errc::refused)
            note += "; it was " + place +
                    " and is put nowhere else: attach it, and QEMU chooses another place";
        co_return note;
    }
    const auto now = read_thing(store.db(), engine.domain().id, thing.name);
    if (!place.empty() && now && !now->address.empty() && now->address != thing.address)
        co_return engine.domain().subject() + ": " + thing.name.text() + " is " +
            shown_addresses(now->address) + ", and was " + place;
    co_return std::string();
}

// Each qmp thing of the document is looked for; what is not there is attached, as libxl does.
// Value: what could not be.
Task<Result<std::vector<std::string>>> put_things(Store& store, Engine& engine, Deadline until)
{
    auto sought = co_await seek_things(store, engine, until);
    if (!sought) co_return std::move(sought).error();
    auto noted = co_await engine.journal().commit(
        engine.hold(), "born", until, [&](const FastHold& fast) -> Result<void> {
            for (const auto& one : *sought)
                write_sought(store.db(), fast.domain(), one);
            write_others_present(store.db(), fast.domain());
            return {};
        });
    if (!noted) co_return std::move(noted).error();
    std::vector<std::string> notes;
    for (auto& one : *sought) {
        if (one.there) continue;
        auto note = co_await put_back(store, engine, std::move(one), until);
        if (!note) co_return std::move(note).error();
        if (!note->empty()) notes.push_back(*std::move(note));
    }
    co_return notes;
}

void write_running_row(Db& db, DomainId domain)
{
    db.prepare(
          "UPDATE domain SET state = 'running', creator = NULL, "
          "born_us = coalesce(born_us, ?) WHERE id = ?")
        .bind(now_us())
        .bind(value_of(domain))
        .run();
}

// Value: the row as it is committed, read before, so that nothing can fail afterwards (R18).
Task<Result<DomainRow>> write_running(Store& store, Engine& engine, const DomainRow& domain,
                                      Deadline until)
{
    std::optional<DomainRow> row;
    auto written = co_await engine.journal().commit(
        engine.hold(), "running", until, [&](const FastHold& fast) -> Result<void> {
            write_running_row(store.db(), fast.domain());
            engine.journal().add_history(
                HistoryLine{fast.domain(),
                            domain.has_run ? "start" : "create",
                            {},
                            {},
                            "done",
                            {},
                            "QEMU " + std::to_string(domain.registration->qemu.pid) +
                                " answers at " + domain.registration->path});
            row = read_domain(store.db(), fast.domain());
            return {};
        });
    if (!written) co_return std::move(written).error();
    co_return *std::move(row);
}

// A thing of QEMU's that came with the document has none to be in.
void write_all_without_qemu(Db& db, DomainId domain)
{
    write_others_present(db, domain);
    db.prepare(
          "UPDATE thing SET state = 'stale', changed_us = ? WHERE domain = ? AND primary_at = "
          "'qemu' AND state <> 'stale'")
        .bind(now_us())
        .bind(value_of(domain))
        .run();
}

}  // namespace

Task<Result<Created>> finish_without_qemu(Store& store, DomainRow domain, SlowHold hold,
                                          Deadline until)
{
    Journal journal(store);
    std::optional<DomainRow> row;
    const std::string operation("running");
    const std::function<Result<void>(const FastHold&)> section =
        [&](const FastHold& fast) -> Result<void> {
        write_all_without_qemu(store.db(), fast.domain());
        write_running_row(store.db(), fast.domain());
        journal.add_history(
            HistoryLine{fast.domain(), "create", {}, {}, "done", {}, "without a QEMU"});
        row = read_domain(store.db(), domain.id);
        return {};
    };
    auto done = co_await journal.commit(hold, operation, until, section);
    if (!done) co_return std::move(done).error();
    Created created{*std::move(row), {}};
    co_return std::move(created);
}

Task<Result<Created>> finish_creation(Store& store, DomainRow domain, SlowHold hold, Deadline until)
{
    if (domain.registration && domain.registration->socket.inode == 0) {
        auto registration = co_await meet(store, domain, until);
        if (!registration) co_return std::move(registration).error();
        auto written =
            co_await write_registration(store, hold, *registration, domain.log_path, "", until);
        if (!written) co_return std::move(written).error();
    }
    auto engine = co_await Engine::begin_under(store, domain, std::move(hold), until);
    if (!engine) co_return std::move(engine).error();
    auto initial = co_await write_initial(store, *engine, until);
    if (!initial) co_return std::move(initial).error();
    auto resolved = co_await resolve_left_open(store, *engine, until);
    if (!resolved) co_return std::move(resolved).error();
    auto notes = co_await put_things(store, *engine, until);
    Result<void> answers;
    if (!notes) answers = notes.error();
    // A step that lost the connection has only noted it.
    if (notes) answers = co_await engine->stay_connected(until);
    if (!answers && life_of(domain.registration->qemu) == Life::dead)
        co_return co_await died_while_starting(store.loop(), domain);
    if (!answers) co_return std::move(answers).error();
    auto running = co_await write_running(store, *engine, domain, until);
    if (!running) co_return std::move(running).error();
    Created created{*std::move(running), *std::move(notes)};
    co_return std::move(created);
}

}  // namespace xlstore
