// SPDX-License-Identifier: MIT
// Incarnations, entries and intents keep their numbers and states, and are of the boot in which the
// host had them: recovery finds that this boot is over, as it does with a backup of another host
// (problems 3006 and 4011 of xlfsck). Registrations stay behind, and so do products: there is no
// QEMU here that they could name.
#include "tools/fleet/lost_host.hpp"

#include <map>

#include "schema/steps.hpp"
#include "store/base/clock.hpp"
#include "store/database/new_database.hpp"
#include "store/database/store_numbers.hpp"
#include "store/model/document.hpp"
#include "store/operation/edit.hpp"
#include "store/os/process.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::fleet {

namespace {

constexpr const char* kLostHost =
    "SELECT store_uuid, as_of_commit::text, last_seen::text, behind, health NOT IN ('silent', "
    "'never seen'), coalesce(date_trunc('second', lag)::text, '') FROM fleet.hosts WHERE host = $1";

// The highest number of any table: as the host said, and, of a program that did not say it, of what
// is here.
constexpr const char* kHighest =
    "SELECT greatest((SELECT highest_id FROM fleet.presence WHERE host = h.host), (SELECT "
    "max(incarnation) FROM fleet.domain WHERE host = h.host), (SELECT max(thing) FROM fleet.thing "
    "WHERE host = h.host), (SELECT max(intent) FROM fleet.intent WHERE host = h.host), (SELECT "
    "max(intent) FROM fleet.history WHERE host = h.host), (SELECT max(line) FROM fleet.generation "
    "WHERE host = h.host), 0) FROM fleet.host h WHERE h.name = $1";
// What the host gave and never sent: no host is that far ahead of its fleet.
constexpr std::int64_t kUnsent = 100'000;

constexpr const char* kOf =
    " JOIN fleet.living l ON l.host_id = x.host AND l.generation = x.generation AND l.incarnation "
    "= x.incarnation WHERE l.host = $1 ORDER BY ";

// Columns of kInsertDomain, then state, document, boot, closed_us.
constexpr const char* kLostDomains =
    "SELECT x.incarnation, x.domid, x.uuid, x.vm_uuid, x.name, CASE x.state WHEN 'creating' THEN "
    "x.state ELSE 'running' END, x.epoch, x.revision, coalesce(x.layout, 'yajl'), "
    "coalesce(x.layout_tight, 0), coalesce(x.without_qemu, 0), x.boot_id, x.created_us, "
    "x.changed_us, x.born_us, x.state, d.json, x.boot_id, x.closed_us, x.closed_pid, "
    "x.closed_program, x.closed_reason FROM fleet.domain x LEFT JOIN fleet.document d USING (host, "
    "generation, incarnation)";
constexpr const char* kInsertDomain =
    "INSERT INTO domain (id, domid, uuid, vm_uuid, name, state, epoch, revision, layout, "
    "layout_tight, without_qemu, boot_id, created_us, changed_us, born_us) VALUES (?, ?, ?, ?, ?, "
    "?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
enum LostDomain {
    kLostId = 0,
    kLostDomid = 1,
    kLostName = 4,
    kLostState = 15,
    kLostDocument,
    kLostBoot,
    kLostClosed
};
constexpr std::size_t kDomainInserted = 15;

constexpr const char* kLostThings =
    "SELECT x.thing, x.incarnation, x.class, x.key, x.position, x.primary_at, x.state, x.json, "
    "x.changed_us, coalesce(x.made, 0), x.address FROM fleet.thing x";
constexpr const char* kInsertThing =
    "INSERT INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us, "
    "made, address) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr std::size_t kThingJson = 7;

// Columns of kInsertIntent; then the entry, and who opened it.
constexpr const char* kLostIntents =
    "SELECT x.intent, x.incarnation, x.batch, x.operation, x.image_before, x.image_after, "
    "x.image_neither, x.image_stale, x.replaced_state, coalesce(x.plan, '[]'), coalesce(x.probe, "
    "'{\"products\":[]}'), coalesce(x.monitor_path, ''), coalesce(x.epoch, 1), x.opened_us, "
    "x.asked_us, x.note, x.made, x.class, x.key, coalesce(x.owner_pid, 0), "
    "coalesce(x.owner_program, '?'), "
    "x.owner_uid, (SELECT d.boot_id FROM fleet.domain d WHERE d.host = x.host AND d.generation = "
    "x.generation AND d.incarnation = x.incarnation) FROM fleet.intent x";
constexpr const char* kInsertIntent =
    "INSERT INTO intent (id, domain, batch, operation, image_before, image_after, image_neither, "
    "image_stale, replaced_state, plan, probe, monitor_path, epoch, opened_us, asked_us, note, "
    "made, thing, owner) SELECT ?, ?2, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, t.id, ?20 FROM "
    "thing t WHERE t.domain = ?2 AND t.class = ?18 AND t.key = ?19";
enum LostIntent {
    kOpenedUs = 13,
    kIntentClass = 17,
    kIntentKey,
    kOwnerPid,
    kOwnerProgram,
    kOwnerUid,
    kOwnerBoot
};

std::vector<LostRow> columns_of(const pqxx::result& result)
{
    std::vector<LostRow> rows;
    for (const auto& row : result) {
        auto& columns = rows.emplace_back();
        for (const auto& field : row)
            columns.push_back(field.is_null() ? std::nullopt
                                              : std::optional<std::string>(field.c_str()));
    }
    return rows;
}

std::string subject_of(const LostRow& domain)
{
    return "domain " + *domain[kLostDomid] + " (" + *domain[kLostName] + ")";
}

void bind_columns(Statement& statement, const LostRow& row, std::size_t count)
{
    for (std::size_t i = 0; i < count; ++i)
        statement.bind(row[i]);
}

void insert_domain(Db& db, const LostRow& domain, std::vector<std::string>& notes)
{
    auto row = db.prepare(kInsertDomain);
    bind_columns(row, domain, kDomainInserted);
    row.run();
    const auto what = subject_of(domain);
    if (!domain[kLostDocument]) {
        notes.push_back(what + " has no document in the fleet");
        return;
    }
    const auto document = parse_document(*domain[kLostDocument], what);
    if (!document) {
        notes.push_back("its document cannot be read, and is left out: " +
                        document.error().message);
        return;
    }
    insert_members(db, DomainId(std::stoll(*domain[kLostId])), document->members);
}

void insert_thing(Db& db, const LostRow& thing, std::vector<std::string>& notes)
{
    if (!thing[kThingJson]) {
        notes.push_back("the entry " + *thing[2] + "/" + *thing[3] + " of incarnation " +
                        *thing[1] + " cannot be read, and is left out");
        return;
    }
    auto row = db.prepare(kInsertThing);
    bind_columns(row, thing, thing.size());
    row.run();
}

// A session an intent: who opened it is all that is known of the process, and it is over.
// True: it is in.
bool insert_intent(Db& db, const LostRow& intent, std::vector<std::string>& notes)
{
    db.prepare(
          "INSERT INTO session (pid, start_time, pid_namespace, boot_id, program, opened_us, uid, "
          "schema) VALUES (?, 0, 0, ?, ?, ?, ?, ?)")
        .bind(intent[kOwnerPid])
        .bind(intent[kOwnerBoot])
        .bind(intent[kOwnerProgram])
        .bind(intent[kOpenedUs])
        .bind(intent[kOwnerUid])
        .bind(schema::newest_version())
        .run();
    const auto owner = db.last_insert_id();
    auto row = db.prepare(kInsertIntent);
    bind_columns(row, intent, kIntentKey + 1);
    row.bind(owner);
    row.run();
    const bool is_in = db.changes() > 0;
    if (!is_in)
        notes.push_back("intent " + *intent[0] + " (" + *intent[3] + " " + *intent[kIntentClass] +
                        "/" + *intent[kIntentKey] + ") has no entry in the fleet, and is left out");
    return is_in;
}

// What the guards of the schema refuse before its rows are in.
void finish_domain(Db& db, const LostRow& domain)
{
    if (domain[kLostClosed]) {
        auto row = db.prepare(
            "UPDATE domain SET closed_us = ?, closed_pid = ?, closed_program = ?, closed_reason = "
            "? WHERE id = ?");
        for (std::size_t i = kLostClosed; i < domain.size(); ++i)
            row.bind(domain[i]);
        row.bind(domain[kLostId]);
        row.run();
    }
    if (domain[kLostState] == "destroying")
        db.prepare("UPDATE domain SET state = 'destroying' WHERE id = ?")
            .bind(domain[kLostId])
            .run();
}

// REQUIRES that the rows are in.
void go_on_above(Db& db, const LostHost& host)
{
    Memory given{host.highest};
    for (auto& id : given.numbers.ids)
        id += kUnsent;
    raise_numbers(db, given, Loss::counted);
}

Result<void> check_boot(const LostHost& host, const std::string& name)
{
    const auto here = current_boot_id();
    for (const auto& domain : host.domains)
        if (domain[kLostBoot] == here)
            return Error(Errc::refused,
                         "host " + name + " is this machine, which was not booted since: " +
                             subject_of(domain) + " may live here",
                         "nothing was written; 'xlstore backup' copies its store, and 'xlstore "
                         "restore --adopt' puts the copy back beside QEMUs that live");
    return {};
}

}  // namespace

Result<LostHost> read_lost_host(pqxx::work& work, const std::string& name)
{
    const auto found = work.exec_params(kLostHost, name);
    if (found.empty())
        return Error(Errc::not_found, "the fleet has no host " + name,
                     "'xlstore-fleet status' lists them");
    const auto row = found[0];
    if (row[1].is_null())
        return Error(Errc::not_found, "host " + name + " has sent nothing whole yet",
                     "nothing was written; 'xlstore-fleet push' on it sends what it has");
    LostHost host;
    host.store_uuid = row[0].as<std::string>();
    host.commits = row[1].as<std::string>();
    host.seen = row[2].as<std::string>();
    host.behind = row[3].as<std::int64_t>(0);
    if (row[4].as<bool>())
        host.notes.push_back("host " + name + " was seen " + row[5].as<std::string>() +
                             " ago and may live: a domain must not run on both");
    host.domains = columns_of(work.exec_params(std::string(kLostDomains) + kOf + "1", name));
    host.things = columns_of(work.exec_params(std::string(kLostThings) + kOf + "2, 10, 1", name));
    host.intents = columns_of(work.exec_params(std::string(kLostIntents) + kOf + "1", name));
    host.highest.ids.fill(work.exec_params1(kHighest, name)[0].as<std::int64_t>());
    if (auto ok = check_boot(host, name); !ok) return ok.error();
    return host;
}

void write_backup(const std::string& path, LostHost& host)
{
    make_database(path, [&](Db& db) {
        db.prepare(
              "INSERT INTO store (id, uuid, created_us, durability, commits) VALUES (1, ?, ?, "
              "'process', ?)")
            .bind(host.store_uuid)
            .bind(now_us())
            .bind(host.commits)
            .run();
        for (const auto& domain : host.domains)
            insert_domain(db, domain, host.notes);
        for (const auto& thing : host.things)
            insert_thing(db, thing, host.notes);
        std::erase_if(host.intents,
                      [&](const LostRow& one) { return !insert_intent(db, one, host.notes); });
        for (const auto& domain : host.domains)
            finish_domain(db, domain);
        go_on_above(db, host);
    });
    Db(path, Db::Mode::read_write).execute("PRAGMA journal_mode = DELETE");
}

}  // namespace xlstore::fleet
