// SPDX-License-Identifier: MIT
#include "store/edit.hpp"

#include <algorithm>

#include "store/class_plan.hpp"
#include "store/closing.hpp"
#include "store/json_text.hpp"
#include "store/limits.hpp"

namespace xlstore {

namespace {

Error of_qemu(const ThingName& thing)
{
    return Error(Errc::refused,
                 thing.text() + " is a thing of QEMU: its thing lock is the slow lock (R3)",
                 "nothing was changed; attach and detach change it");
}

// What R5 allows the holder of the fast lock: a present entry becomes stale, and may go then.
void drop(Db& db, std::int64_t thing)
{
    db.prepare("UPDATE thing SET state = 'stale' WHERE id = ? AND state <> 'stale'")
        .bind(thing)
        .run();
    db.prepare("DELETE FROM thing WHERE id = ?").bind(thing).run();
}

void write_thing(Db& db, DomainId domain, const DocumentThing& thing,
                 const std::optional<ThingRow>& entry)
{
    if (entry) {
        db.prepare(
              "UPDATE thing SET state = 'present', json = ?, primary_at = ?, changed_us = ? "
              "WHERE id = ?")
            .bind(thing.json)
            .bind(primary_name(thing.primary))
            .bind(now_us())
            .bind(entry->id)
            .run();
        return;
    }
    db.prepare(
          "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
          "VALUES (?1, ?2, ?3, (SELECT coalesce(max(position) + 1, 0) FROM thing "
          "WHERE domain = ?1 AND class = ?2), ?4, 'present', ?5, ?6)")
        .bind(value_of(domain))
        .bind(thing.device_class)
        .bind(thing.key)
        .bind(primary_name(thing.primary))
        .bind(thing.json)
        .bind(now_us())
        .run();
}

// The new text of b_info, with the avail_vcpus of the old one while class vcpus has entries.
std::string b_info_text(Db& db, DomainId domain, std::string text)
{
    auto row = db.prepare(
                     "SELECT text FROM document_member WHERE domain = ?1 AND key = 'b_info' AND "
                     "EXISTS (SELECT 1 FROM thing WHERE domain = ?1 AND class = 'vcpus')")
                   .bind(value_of(domain));
    if (!row.step()) return text;
    const std::string before = row.text(0);
    const auto available = json_find(before, "avail_vcpus");
    return available ? json_with_member(text, "avail_vcpus", *available)
                     : json_without_member(text, "avail_vcpus");
}

}  // namespace

void insert_members(Db& db, DomainId domain, const std::vector<DocumentMember>& members)
{
    for (const auto& member : members)
        db.prepare(
              "INSERT INTO document_member (domain, rank, key, key_text, text) VALUES (?, ?, ?, ?, "
              "?)")
            .bind(value_of(domain))
            .bind(member.rank)
            .bind(member.key)
            .bind(member.key_text)
            .bind(member.text)
            .run();
}

Result<std::int64_t> begin_edit(Store& store, const FastHold& fast, std::int64_t expected)
{
    if (auto open = check_open(store.db(), fast.domain()); !open) return open.error();
    return advance_revision(store, fast, expected);
}

Result<std::int64_t> advance_revision(Store& store, const FastHold& fast, std::int64_t expected)
{
    auto row = store.db()
                   .prepare("SELECT state, revision FROM domain WHERE id = ?")
                   .bind(value_of(fast.domain()));
    const std::string subject = store.subject_of(fast.domain());
    if (!row.step() || row.text(0) == "destroying" || row.text(0) == "destroyed")
        return Error(Errc::gone, subject + " was destroyed or is being destroyed (R8)");
    const auto revision = row.integer(1);
    if (expected != 0 && revision != expected)
        return Error(Errc::conflict,
                     subject + ": its document has revision " + std::to_string(revision) +
                         ", not the expected " + std::to_string(expected),
                     "nothing was changed; read it again");
    store.db()
        .prepare("UPDATE domain SET revision = ?, changed_us = ? WHERE id = ?")
        .bind(revision + 1)
        .bind(now_us())
        .bind(value_of(fast.domain()))
        .run();
    return revision + 1;
}

Result<void> write_document(Store& store, const FastHold& fast, const Document& document)
{
    Db& db = store.db();
    const auto domain = read_domain(db, fast.domain());
    if (document.uuid != domain->uuid)
        return Error(Errc::invalid,
                     domain->subject() + ": the document is that of uuid " + document.uuid +
                         ", the domain's is " + domain->uuid,
                     "nothing was changed");
    db.prepare("UPDATE domain SET name = ?, layout = ? WHERE id = ?")
        .bind(document.name)
        .bind(layout_name(document.layout))
        .bind(value_of(fast.domain()))
        .run();
    std::vector<DocumentMember> members = document.members;
    for (auto& member : members)
        if (member.key == "b_info" && member.text)
            member.text = b_info_text(db, fast.domain(), *member.text);
    db.prepare("DELETE FROM document_member WHERE domain = ?").bind(value_of(fast.domain())).run();
    insert_members(db, fast.domain(), members);

    const auto same = [](const ThingName& name, const DocumentThing& thing) {
        return name.device_class == thing.device_class && name.key == thing.key;
    };
    const auto entries = read_things(db, fast.domain());
    for (const auto& entry : entries) {
        const bool kept = std::any_of(document.things.begin(), document.things.end(),
                                      [&](const auto& thing) { return same(entry.name, thing); });
        if (entry.primary != "qemu" && !kept) drop(db, entry.id);
    }
    for (const auto& thing : document.things) {
        const auto entry = std::find_if(entries.begin(), entries.end(),
                                        [&](const ThingRow& e) { return same(e.name, thing); });
        const bool there = entry != entries.end();
        if (thing.primary == Primary::qemu || (there && entry->primary == "qemu")) continue;
        write_thing(db, fast.domain(), thing,
                    there ? std::optional(*entry) : std::optional<ThingRow>());
    }
    return {};
}

Result<void> put_thing(Store& store, const FastHold& fast, std::string_view device_class,
                       std::string_view json)
{
    auto name = name_of_attach(device_class, json);
    if (!name) return std::move(name).error();
    auto minified = json_minify(json, device_class, limits::thing_bytes_max);
    if (!minified) return std::move(minified).error();
    const auto primary = thing_primary(*find_device_class(device_class), *minified);
    const auto entry = read_thing(store.db(), fast.domain(), *name);
    if (primary == Primary::qemu || (entry && entry->primary == "qemu")) return of_qemu(*name);
    const DocumentThing thing{std::string(device_class), name->key, 0, *std::move(minified),
                              primary};
    write_thing(store.db(), fast.domain(), thing, entry);
    return {};
}

Result<void> remove_thing(Store& store, const FastHold& fast, const ThingName& thing)
{
    const auto entry = read_thing(store.db(), fast.domain(), thing);
    if (!entry)
        return Error(Errc::not_found, store.subject_of(fast.domain()) + " has no " + thing.text(),
                     "'xlstore things DOM' shows what it has");
    if (entry->primary == "qemu") return of_qemu(thing);
    drop(store.db(), entry->id);
    return {};
}

}  // namespace xlstore
