// SPDX-License-Identifier: MIT
#include "store/lifecycle/new_domain.hpp"

#include "store/base/clock.hpp"
#include "store/core/journal.hpp"
#include "store/model/domid.hpp"
#include "store/operation/edit.hpp"
#include "store/testing/trace.hpp"

namespace xlstore {

Result<DomainId> insert_domain(Store& store, std::int64_t domid, const Document& document,
                               DomainState state, std::string_view entry_state)
{
    Db& db = store.db();
    auto living =
        db.prepare(
              "SELECT name, state, boot_id = ?2 FROM domain WHERE domid = ?1 AND state <> "
              "'destroyed'")
            .bind(domid)
            .bind(store.self().boot_id);
    if (living.step()) {
        const bool is_over = living.integer(2) == 0;
        return Error(Errc::exists,
                     "domain " + std::to_string(domid) + " (" + living.text(0) +
                         ") is in the store, " +
                         (is_over ? "of an older boot or another host" : living.text(1)) + " (R14)",
                     is_over ? "'xlfsck -p' keeps its document and frees the domid; or use another"
                     : living.text(1) == state_name(DomainState::creating)
                         ? "if its creator died, 'xlstore recover' ends or finishes its creation"
                         : "destroy it first, or use another domid");
    }
    db.prepare(
          "INSERT INTO domain (domid, uuid, name, state, layout, boot_id, creator, created_us, "
          "changed_us, born_us, layout_tight) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10)")
        .bind(domid)
        .bind(document.uuid)
        .bind(document.name.empty() ? name_without_one(domid) : document.name)
        .bind(state_name(state))
        .bind(layout_name(document.layout))
        .bind(store.self().boot_id)
        .bind(state == DomainState::creating ? std::optional(store.session()) : std::nullopt)
        .bind(now_us())
        .bind(state == DomainState::creating ? std::nullopt : std::optional(now_us()))
        .bind(std::int64_t{layout_is_tight(document.layout)})
        .run();
    const auto id = db.last_insert_id();
    XLSTORE_TRACE("row", id,
                  std::string(state_name(state)) + " domid=" + std::to_string(domid) +
                      " uuid=" + document.uuid);
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

Result<void> check_no_other(Db& db, std::int64_t domid, const Document& document,
                            std::string_view what, Comes comes, const std::string& boot_id)
{
    const bool created = comes == Comes::by_creation;
    auto other =
        db.prepare(
              "SELECT domid, name, (uuid = ?1 AND vm_uuid IS NULL) OR vm_uuid IS ?1 FROM domain "
              "WHERE state <> 'destroyed' AND domid <> ?3 AND (name = ?2 OR (?1 <> ?4 AND ((uuid "
              "= ?1 AND vm_uuid IS NULL) OR vm_uuid = ?1))) AND (?5 IS NULL OR (coalesce(boot_id, "
              "?5) = ?5 AND (name = ?2 OR NOT (name LIKE '%--incoming' OR name LIKE "
              "'%--migratedaway' OR ?2 LIKE '%--incoming' OR ?2 LIKE '%--migratedaway'))))")
            .bind(document.uuid)
            .bind(document.name.empty() ? name_without_one(domid) : document.name)
            .bind(domid)
            .bind(kNilUuid)
            .bind(created ? std::optional(boot_id) : std::nullopt);
    if (!other.step()) return {};
    const bool its_uuid = document.uuid != kNilUuid && other.integer(2) != 0;
    const std::string number = other.text(0);
    const std::string over = "if domain " + number + " is over, 'xlstore destroy domid:" + number +
                             "' first; if both run (a migration within one host), ";
    return Error(Errc::exists,
                 std::string(what) + ": domain " + number + " (" + other.text(1) + ") has the " +
                     (its_uuid ? "uuid " + document.uuid : std::string("name")) +
                     " of this document, and is in the store",
                 created ? "nothing was created; " + over + "call the new one NAME--incoming"
                         : "nothing was imported; " + over + "import --force");
}

Result<std::vector<CarriedThing>> carried_with(const std::string& things, const Document& document)
{
    if (things.empty()) return std::vector<CarriedThing>();
    return carried_things(things, document);
}

Task<Result<DomainRow>> import_domain(Store& store, std::int64_t domid, std::string document_text,
                                      std::string what, Deadline until, std::string things,
                                      bool also)
{
    if (auto ok = check_domid(domid); !ok) co_return std::move(ok).error();
    auto document = parse_document(document_text, what);
    if (!document) co_return std::move(document).error();
    auto carried = carried_with(things, *document);
    if (!carried) co_return std::move(carried).error();
    co_return co_await store.with_writer_lock(
        "import", until, [&](const WriterHold&) -> Result<DomainRow> {
            if (!also)
                if (auto ok = check_no_other(store.db(), domid, *document, what, Comes::by_import,
                                             store.self().boot_id);
                    !ok)
                    return std::move(ok).error();
            auto fresh = insert_domain(store, domid, *document, DomainState::running, "present");
            if (!fresh) return std::move(fresh).error();
            insert_carried(store.db(), *fresh, *carried, "present");
            Journal(store).add_history(
                HistoryLine{*fresh, "import", {}, {}, "done", {}, "document " + what});
            return *read_domain(store.db(), *fresh);
        });
}

bool is_as_imported(Db& db, DomainId id)
{
    auto row = db.prepare(
                     "SELECT 1 FROM domain WHERE id = ? AND state = 'running' AND epoch = 1 AND "
                     "revision = 1 AND qemu_pid IS NULL")
                   .bind(value_of(id));
    return row.step();
}

namespace {

// REQUIRES all locks of the row, as for its pruning: no other process relies on having read it. One
// that does has written to it.
Result<void> forget_imported(Store& store, const FastHold& fast, const DomainRow& imported,
                             const std::string& why)
{
    Db& db = store.db();
    const auto id = value_of(fast.domain());
    if (!is_as_imported(db, fast.domain()))
        return Error(Errc::conflict, imported.subject() + ": another process goes on with its row");
    Journal(store).add_history(
        HistoryLine{fast.domain(), "import", {}, {}, "not done", {}, "taken back: " + why});
    for (const char* sql :
         {"UPDATE domain SET state = 'destroying' WHERE id = ?",
          "DELETE FROM thing WHERE domain = ?", "DELETE FROM document_member WHERE domain = ?",
          "UPDATE domain SET state = 'destroyed' WHERE id = ?", "DELETE FROM domain WHERE id = ?"})
        db.prepare(sql).bind(id).run();
    return {};
}

}  // namespace

Task<Result<void>> take_back_import(Store& store, DomainRow imported, std::string why,
                                    Deadline until)
{
    const std::string operation("adopt");
    const std::string subject = imported.subject();
    auto hold = co_await store.slow_lock(imported.id, subject, operation, until);
    if (!hold) co_return std::move(hold).error();
    auto lock =
        co_await store.locks().acquire(store.loop(), LockKind::destroy, value_of(imported.id),
                                       store.make_claim(operation), subject, until);
    if (!lock) co_return std::move(lock).error();
    const std::function<Result<void>(const FastHold&)> section = [&](const FastHold& fast) {
        return forget_imported(store, fast, imported, why);
    };
    co_return co_await store.with_fast_lock(imported.id, operation, until, section, Room::reserve);
}

}  // namespace xlstore
