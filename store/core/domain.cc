// SPDX-License-Identifier: MIT
// A word is read in up to three ways (domid, uuid, name), each a statement of its own; the first
// that fits decides, and a name that fits several is an error, since acting on either would be a
// guess. Questions about the past go on to destroyed rows, newest first, and at last to the names
// that history says were changed.
#include "store/core/domain.hpp"

#include <sqlite3.h>

#include "store/core/domain_word.hpp"
#include "store/model/row_names.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

#define XLSTORE_DOMAIN_COLUMNS                                                              \
    "id, domid, uuid, name, state, layout, boot_id, creator, qemu_pid, qemu_start_time, "   \
    "qemu_pid_namespace, monitor_path, monitor_device, monitor_inode, peer_pid, peer_uid, " \
    "peer_gid, "                                                                            \
    "monitor_handed_in, initial_from IS NOT NULL, log_path, born_us IS NOT NULL, vm_uuid, " \
    "older_state, layout_tight, without_qemu, epoch"

// In the order of XLSTORE_DOMAIN_COLUMNS.
namespace domain_column {
enum : int {
    id,
    domid,
    uuid,
    name,
    state,
    layout,
    boot_id,
    creator,
    qemu_pid,
    qemu_start_time,
    qemu_pid_namespace,
    monitor_path,
    monitor_device,
    monitor_inode,
    peer_pid,
    peer_uid,
    peer_gid,
    monitor_handed_in,
    has_initial_devices,
    log_path,
    has_run,
    vm_uuid,
    older_state,
    layout_tight,
    without_qemu,
    epoch,
};
}  // namespace domain_column

DomainRow domain_from(const Statement& row)
{
    DomainRow d;
    d.id = DomainId(row.integer(domain_column::id));
    d.domid = row.integer(domain_column::domid);
    d.uuid = row.text(domain_column::uuid);
    d.name = row.text(domain_column::name);
    auto state = state_from_name(row.text(domain_column::state));
    if (!state)
        // No outcome but damage: no release writes such a word, and to guess one could let a
        // destruction end as something else.
        throw DbError(SQLITE_CORRUPT, "database: incarnation " +
                                          std::to_string(row.integer(domain_column::id)) + ": " +
                                          state.error().message);
    d.state = *state;
    d.layout =
        layout_of(row.text(domain_column::layout), row.integer(domain_column::layout_tight) != 0);
    d.boot_id = row.text(domain_column::boot_id);
    d.creator = row.maybe_integer(domain_column::creator);
    if (!row.is_null(domain_column::qemu_pid)) {
        qmp::Registration r;
        r.qemu = ProcessId{
            row.integer(domain_column::qemu_pid),
            static_cast<std::uint64_t>(row.integer(domain_column::qemu_start_time)), d.boot_id,
            static_cast<std::uint64_t>(row.integer(domain_column::qemu_pid_namespace))};
        r.path = row.text(domain_column::monitor_path);
        r.socket =
            FileIdentity{static_cast<std::uint64_t>(row.integer(domain_column::monitor_device)),
                         static_cast<std::uint64_t>(row.integer(domain_column::monitor_inode))};
        r.peer =
            qmp::Peer{row.integer(domain_column::peer_pid), row.integer(domain_column::peer_uid),
                      row.integer(domain_column::peer_gid)};
        r.handed_in = row.integer(domain_column::monitor_handed_in) != 0;
        d.registration = std::move(r);
    }
    d.has_initial_devices = row.integer(domain_column::has_initial_devices) != 0;
    d.log_path = row.text(domain_column::log_path);
    d.has_run = row.integer(domain_column::has_run) != 0;
    d.vm_uuid = row.maybe_text(domain_column::vm_uuid);
    d.older_state = row.integer(domain_column::older_state) != 0;
    d.without_qemu = row.integer(domain_column::without_qemu) != 0;
    d.epoch = row.integer(domain_column::epoch);
    return d;
}

Error no_domain(std::string_view word)
{
    return Error(Errc::not_found, "there is no domain " + json_shown(word) + " in the store",
                 "'xlstore list' shows the domains it has");
}

Error never_was(std::string_view word)
{
    return Error(
        Errc::not_found,
        "no domain " + json_shown(word) + " is or was in the store, as far as it keeps them",
        "'xlstore list' shows the domains it has, 'xlstore history' what was done");
}

// Nothing: none fits. Several: an error that lists their domids.
Result<std::optional<DomainRow>> one_of(Statement rows, std::string_view what)
{
    std::optional<DomainRow> found;
    std::string others;
    while (rows.step()) {
        auto row = domain_from(rows);
        others += (others.empty() ? "" : ", ") + std::to_string(row.domid);
        if (!found) found = std::move(row);
    }
    if (found && others.find(',') != std::string::npos)
        return Error(Errc::invalid, std::string(what) + " fits several domains: " + others,
                     "name one by domid:N");
    return found;
}

ThingRow thing_from(const Statement& row)
{
    return ThingRow{row.integer(0), ThingName{row.text(1), row.text(2)}, row.text(3), row.text(4),
                    row.text(5),    row.maybe_text(6).value_or("")};
}

std::vector<ThingRow> things_from(Statement rows)
{
    std::vector<ThingRow> things;
    while (rows.step())
        things.push_back(thing_from(rows));
    return things;
}

DocumentMember member_from(const Statement& row)
{
    return DocumentMember{row.integer(0), row.text(1), row.text(2), row.maybe_text(3)};
}

struct Statements {
    const char* living;  // with one parameter
    const char* all;     // the newest first
};

Statements statements_of(NamedBy by)
{
    switch (by) {
    case NamedBy::domid:
        return {"SELECT " XLSTORE_DOMAIN_COLUMNS
                " FROM domain WHERE domid = ?1 AND state <> 'destroyed'",
                "SELECT " XLSTORE_DOMAIN_COLUMNS " FROM domain WHERE domid = ?1 ORDER BY id DESC"};
    case NamedBy::uuid:
        return {"SELECT " XLSTORE_DOMAIN_COLUMNS
                " FROM domain WHERE ((uuid = ?1 AND vm_uuid IS NULL) OR vm_uuid = ?1) AND state <> "
                "'destroyed'",
                "SELECT " XLSTORE_DOMAIN_COLUMNS
                " FROM domain WHERE uuid = ?1 OR vm_uuid = ?1 ORDER BY id DESC"};
    case NamedBy::name:
        break;
    }
    return {"SELECT " XLSTORE_DOMAIN_COLUMNS
            " FROM domain WHERE name = ?1 AND state <> 'destroyed'",
            "SELECT " XLSTORE_DOMAIN_COLUMNS " FROM domain WHERE name = ?1 ORDER BY id DESC"};
}

// "id:N", which is no reading: it names one incarnation, not a name.
std::optional<DomainRow> by_id(Db& db, std::string_view word)
{
    const auto id = incarnation_of(word);
    return id ? read_domain(db, DomainId(*id)) : std::nullopt;
}

// By a name that was taken from it: the line of history that says so begins with that name.
// Since a rename frees the name, a question about "web" after it was renamed is most likely about
// the domain that had it.
std::optional<DomainRow> once_called(Db& db, std::string_view name)
{
    auto line = db.prepare(
                      "SELECT domain FROM history WHERE operation IN ('rename', 'preserve') AND "
                      "substr(evidence, 1, length(?1)) = ?1 ORDER BY id DESC LIMIT 1")
                    .bind(json_shown(name) + " is now called ");
    if (!line.step() || line.is_null(0)) return std::nullopt;
    return read_domain(db, DomainId(line.integer(0)));
}

// Each incarnation that it fits but `row` itself, the newest first.
std::vector<DomainId> others_of(Db& db, const Reading& reading, const DomainRow& row)
{
    std::vector<DomainId> others;
    auto rows = prepare_reading(db, statements_of(reading.by).all, reading);
    while (rows.step())
        if (DomainId(rows.integer(0)) != row.id) others.push_back(DomainId(rows.integer(0)));
    return others;
}

}  // namespace

Result<DomainRow> find_domain(Db& db, std::string_view word)
{
    if (word.starts_with("id:")) {
        auto row = by_id(db, word);
        if (!row || row->state == DomainState::destroyed) return no_domain(word);
        return *std::move(row);
    }
    for (const auto& reading : readings_of(word)) {
        auto found = one_of(prepare_reading(db, statements_of(reading.by).living, reading), word);
        if (!found) return std::move(found).error();
        if (*found) return **std::move(found);
    }
    return no_domain(word);
}

Result<FoundIncarnation> find_incarnation(Db& db, std::string_view word)
{
    if (word.starts_with("id:")) {
        if (auto row = by_id(db, word)) return FoundIncarnation{*std::move(row), {}};
        return never_was(word);
    }
    const auto readings = readings_of(word);
    for (const auto& reading : readings) {
        auto found = one_of(prepare_reading(db, statements_of(reading.by).living, reading), word);
        if (!found) return std::move(found).error();
        if (!*found) continue;
        auto others = others_of(db, reading, **found);
        return FoundIncarnation{**std::move(found), std::move(others)};
    }
    for (const auto& reading : readings) {
        std::optional<DomainRow> newest;
        {
            auto rows = prepare_reading(db, statements_of(reading.by).all, reading);
            if (rows.step()) newest = domain_from(rows);
        }
        if (!newest) continue;
        auto others = others_of(db, reading, *newest);
        return FoundIncarnation{*std::move(newest), std::move(others)};
    }
    if (auto row = once_called(db, word)) return FoundIncarnation{*std::move(row), {}};
    return never_was(word);
}

std::optional<DomainRow> read_domain(Db& db, DomainId id)
{
    auto row =
        db.prepare("SELECT " XLSTORE_DOMAIN_COLUMNS " FROM domain WHERE id = ?").bind(value_of(id));
    if (!row.step()) return std::nullopt;
    return domain_from(row);
}

bool was_taken_back(Db& db, DomainId id)
{
    auto row = db.prepare(
                     "SELECT NOT EXISTS (SELECT 1 FROM domain WHERE id = ?1) AND NOT EXISTS "
                     "(SELECT 1 FROM history WHERE domain = ?1 AND operation = 'destroy' AND "
                     "outcome = 'done')")
                   .bind(value_of(id));
    return row.step() && row.integer(0) != 0;
}

std::vector<DomainRow> living_domains(Db& db)
{
    auto rows = db.prepare("SELECT " XLSTORE_DOMAIN_COLUMNS
                           " FROM domain WHERE state <> 'destroyed' ORDER BY domid");
    std::vector<DomainRow> domains;
    while (rows.step())
        domains.push_back(domain_from(rows));
    return domains;
}

std::string new_key(Db& db, DomainId domain)
{
    auto row = db.prepare("SELECT next_key FROM domain WHERE id = ?").bind(value_of(domain));
    row.step();
    return "#" + std::to_string(row.integer(0));
}

std::optional<ThingRow> read_thing(Db& db, DomainId domain, const ThingName& name)
{
    auto row = db.prepare(
                     "SELECT id, class, key, state, primary_at, json, address FROM thing "
                     "WHERE domain = ? AND class = ? AND key = ?")
                   .bind(value_of(domain))
                   .lend(name.device_class)
                   .lend(name.key);
    if (!row.step()) return std::nullopt;
    return thing_from(row);
}

std::vector<ThingRow> read_things(Db& db, DomainId domain)
{
    return things_from(
        db.prepare("SELECT id, class, key, state, primary_at, json, address FROM thing "
                   "WHERE domain = ? ORDER BY class, position, id")
            .bind(value_of(domain)));
}

std::vector<ThingRow> read_things_as_made(Db& db, DomainId domain)
{
    return things_from(
        db.prepare("SELECT id, class, key, state, primary_at, json, address FROM thing "
                   "WHERE domain = ? ORDER BY made, id")
            .bind(value_of(domain)));
}

DomainTraits read_traits(Db& db, DomainId domain)
{
    const auto member = [&](std::string_view key) -> std::string {
        auto row = db.prepare("SELECT text FROM document_member WHERE domain = ? AND key = ?")
                       .bind(value_of(domain))
                       .bind(key);
        return row.step() ? row.maybe_text(0).value_or("") : "";
    };
    DomainTraits traits{domain_type_in(member("c_info"), member("b_info"))};
    auto controllers =
        db.prepare(
              "SELECT json FROM thing WHERE domain = ? AND class = 'usbctrls' ORDER BY position")
            .bind(value_of(domain));
    while (controllers.step())
        traits.add_controller(controllers.text(0));
    return traits;
}

std::vector<DocumentMember> read_members(Db& db, DomainId domain)
{
    auto rows = db.prepare(
                      "SELECT rank, key, key_text, text FROM document_member WHERE domain = ? "
                      "ORDER BY rank")
                    .bind(value_of(domain));
    std::vector<DocumentMember> members;
    while (rows.step())
        members.push_back(member_from(rows));
    return members;
}

RowsByDomain<ThingRow> things_by_domain(Db& db, DomainId first, DomainId last)
{
    return {db.prepare("SELECT id, class, key, state, primary_at, json, address, domain FROM thing "
                       "WHERE domain BETWEEN ? AND ? ORDER BY domain, class, position, id")
                .bind(value_of(first))
                .bind(value_of(last)),
            7, thing_from};
}

RowsByDomain<DocumentMember> members_by_domain(Db& db, DomainId first, DomainId last)
{
    return {db.prepare("SELECT rank, key, key_text, text, domain FROM document_member "
                       "WHERE domain BETWEEN ? AND ? ORDER BY domain, rank")
                .bind(value_of(first))
                .bind(value_of(last)),
            4, member_from};
}

std::string read_document(Db& db, DomainId domain)
{
    // The view shows living domains by domid: that of an incarnation that is over may be another's
    // by now.
    const auto row = read_domain(db, domain);
    if (!row) return {};
    auto text = db.prepare("SELECT json FROM libxl_json WHERE domid = ?").bind(row->domid);
    return text.step() ? text.text(0) : std::string();
}

namespace {

Error unreadable(const DomainRow& domain, const std::string& what, const std::string& why)
{
    return Error(Errc::store, domain.subject() + ": " + what + ": " + why,
                 "'xlfsck -n' says what can be done about it; 'xlfsck -y' repairs it and keeps the "
                 "text that it has");
}

}  // namespace

Result<void> check_readable(const DomainRow& domain, const std::string& what,
                            const std::string& text)
{
    const auto read = json_minify(text, "its text");
    if (!read) return unreadable(domain, what, read.error().message);
    return {};
}

Result<void> check_readable(Db& db, const DomainRow& domain)
{
    for (const auto& thing : read_things(db, domain.id))
        if (auto ok = check_readable(domain, thing.name.text(), thing.json); !ok) return ok;
    for (const auto& member : read_members(db, domain.id)) {
        const std::string what = "member " + json_shown(member.key);
        if (auto ok = check_readable(domain, what, member.text.value_or("null")); !ok) return ok;
        if (!has_own_spelling(member))
            return unreadable(domain, what,
                              "its key is damaged: it is spelled " + json_shown(member.key_text));
    }
    return {};
}

Result<std::string> export_document(Db& db, const DomainRow& domain)
{
    if (auto ok = check_readable(db, domain); !ok) return std::move(ok).error();
    return json_pretty(read_document(db, domain.id), domain.layout);
}

}  // namespace xlstore
