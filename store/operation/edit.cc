// SPDX-License-Identifier: MIT
// A document is written back array by array. Matching says which entry each element is: by its key;
// without an identity by its text, the first that is free; and in a run of unknown elements between
// two known ones by its place, if as many entries are free there. Entries that no element matched
// go (R5), new ones are inserted, the rest is written anew. Entries of QEMU are put in order and
// otherwise not touched (R3). Every edit advances the revision, and none the epoch, in the
// transaction that writes it.
#include "store/operation/edit.hpp"

#include <algorithm>
#include <optional>

#include "store/base/clock.hpp"
#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/closed_document.hpp"
#include "store/core/journal.hpp"
#include "store/core/placing.hpp"
#include "store/model/document_changes.hpp"
#include "store/model/libxl_fields.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kControllers = "usbctrls";  // on which others are plugged

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

std::int64_t next_position(Db& db, DomainId domain, std::string_view device_class)
{
    auto row = db.prepare(
                     "SELECT coalesce(max(position) + 1, 0) FROM thing WHERE domain = ? AND "
                     "class = ?")
                   .bind(value_of(domain))
                   .bind(device_class);
    row.step();
    return row.integer(0);
}

void insert_thing(Db& db, DomainId domain, const DocumentThing& thing)
{
    db.prepare(
          "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
          "VALUES (?, ?, ?, ?, ?, 'present', ?, ?)")
        .bind(value_of(domain))
        .bind(thing.device_class)
        .bind(thing.key)
        .bind(thing.position)
        .bind(primary_name(thing.primary))
        .bind(thing.json)
        .bind(now_us())
        .run();
}

// R6: a removal from xenstore that is under way stays one; what ends it is its own operation's.
// Where the thing is follows from the whole document (follow_document()).
void update_thing(Db& db, std::int64_t id, const DocumentThing& thing)
{
    db.prepare(
          "UPDATE thing SET state = iif(state = 'removing', state, 'present'), json = ?, "
          "changed_us = ? WHERE id = ?")
        .bind(thing.json)
        .bind(now_us())
        .bind(id)
        .run();
}

// Most keep their place: a document that is written back unchanged dirties no page for it.
void move_thing(Db& db, std::int64_t id, std::int64_t position)
{
    db.prepare("UPDATE thing SET position = ?1 WHERE id = ?2 AND position <> ?1")
        .bind(position)
        .bind(id)
        .run();
}

// Which entry each element of one array is. By its key; without an identity by its text, the first
// that is free; and where between two of those as many entries are left as elements, each is the
// entry in its place, written anew. Nothing: an element that is new. Repeated, it says the same.
class Matching {
public:
    Matching(std::vector<const DocumentThing*> elements, std::vector<const ThingRow*> entries)
        : elements_(std::move(elements)),
          entries_(std::move(entries)),
          found_(elements_.size()),
          used_(entries_.size())
    {
        match([](const DocumentThing& element, const ThingRow& entry) {
            return element.has_identity && element.key == entry.name.key;
        });
        match([](const DocumentThing& element, const ThingRow& entry) {
            return !element.has_identity && is_given(entry) && element.json == entry.json;
        });
        for (std::size_t first = 0; first < elements_.size(); ++first)
            if (!found_[first] && !elements_[first]->has_identity) first = fill(first);
    }
    [[nodiscard]] const ThingRow* entry_of(std::size_t element) const
    {
        return found_[element] ? entries_[*found_[element]] : nullptr;
    }
    /// Those that no element is.
    [[nodiscard]] std::vector<const ThingRow*> left() const
    {
        std::vector<const ThingRow*> rest;
        for (std::size_t i = 0; i < entries_.size(); ++i)
            if (!used_[i]) rest.push_back(entries_[i]);
        return rest;
    }

private:
    static bool is_given(const ThingRow& entry) { return entry.name.key.starts_with('#'); }
    void use(std::size_t element, std::size_t entry)
    {
        found_[element] = entry;
        used_[entry] = true;
    }
    template <class Same>
    void match(Same same)
    {
        for (std::size_t e = 0; e < elements_.size(); ++e)
            for (std::size_t i = 0; i < entries_.size() && !found_[e]; ++i)
                if (!used_[i] && same(*elements_[e], *entries_[i])) use(e, i);
    }
    // A run of elements from `first` on between two that are known. Its last one.
    std::size_t fill(std::size_t first)
    {
        std::size_t end = first;
        while (end < elements_.size() && !found_[end] && !elements_[end]->has_identity)
            ++end;
        const std::size_t from = first == 0 || !found_[first - 1] ? 0 : *found_[first - 1] + 1;
        const std::size_t to =
            end < elements_.size() && found_[end] ? *found_[end] : entries_.size();
        std::vector<std::size_t> free;
        for (std::size_t i = from; i < to; ++i)
            if (!used_[i] && is_given(*entries_[i])) free.push_back(i);
        if (free.size() == end - first)
            for (std::size_t k = 0; k < free.size(); ++k)
                use(first + k, free[k]);
        return end - 1;
    }

    std::vector<const DocumentThing*> elements_;
    std::vector<const ThingRow*> entries_;
    std::vector<std::optional<std::size_t>> found_;  // an index of entries_, by element
    std::vector<bool> used_;
};

// One array of the document: its elements in their order, then things of QEMU that it lacks. Those
// of QEMU are put in order, and not touched otherwise.
void write_array(Db& db, DomainId domain, std::vector<const DocumentThing*> elements,
                 std::vector<const ThingRow*> entries, DocumentChanges& changes)
{
    const Matching matching(elements, std::move(entries));
    std::vector<const ThingRow*> behind;
    for (const auto* entry : matching.left()) {
        // R1: no edit of the document takes away the entry of what is in QEMU.
        if (entry->primary == "qemu") {
            behind.push_back(entry);
            continue;
        }
        changes.thing(entry->name, entry->json, std::nullopt);
        drop(db, entry->id);
    }
    std::int64_t position = 0;
    for (std::size_t i = 0; i < elements.size(); ++i) {
        const auto* entry = matching.entry_of(i);
        const bool of_qemu =
            elements[i]->primary == Primary::qemu || (entry != nullptr && entry->primary == "qemu");
        // R3: only an attach makes an entry of QEMU's, under the slow lock.
        if (entry == nullptr && of_qemu) continue;
        DocumentThing thing = *elements[i];
        thing.position = position++;
        if (entry == nullptr) {
            if (!thing.has_identity) thing.key = new_key(db, domain);
            insert_thing(db, domain, thing);
            changes.thing(ThingName{thing.device_class, thing.key}, std::nullopt, thing.json);
            continue;
        }
        move_thing(db, entry->id, thing.position);
        if (of_qemu) continue;
        changes.thing(entry->name, entry->json, thing.json);
        update_thing(db, entry->id, thing);
    }
    for (const auto* entry : behind)
        move_thing(db, entry->id, position++);
}

// Leaves the line of an edit in history. REQUIRES begin_edit(), whose revision it names.
void add_line(Store& store, HistoryLine line)
{
    auto row =
        store.db().prepare("SELECT revision FROM domain WHERE id = ?").bind(value_of(*line.domain));
    if (row.step())
        line.evidence = "revision " + std::to_string(row.integer(0)) + ": " + line.evidence;
    Journal(store).add_history(line);
}

// The new text of b_info, with the avail_vcpus of the old one while class vcpus has entries.
// attach and detach change that number under the slow lock, and the caller may have read the
// document before.
std::string b_info_text(Db& db, DomainId domain, std::string text)
{
    auto row = db.prepare(
                     "SELECT text FROM document_member WHERE domain = ?1 AND key = 'b_info' AND "
                     "EXISTS (SELECT 1 FROM thing WHERE domain = ?1 AND class = 'vcpus')")
                   .bind(value_of(domain));
    if (!row.step()) return text;
    const std::string before = row.text(0);
    const auto available = json_find(before, "avail_vcpus");
    return available ? with_libxl_member("b_info", text, "avail_vcpus", *available)
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

namespace {

void write_members(Db& db, DomainId domain, std::vector<DocumentMember> members,
                   DocumentChanges& changes)
{
    for (auto& member : members)
        if (member.key == "b_info" && member.text)
            member.text = b_info_text(db, domain, *member.text);
    changes.members(read_members(db, domain), members);
    db.prepare("DELETE FROM document_member WHERE domain = ?").bind(value_of(domain)).run();
    insert_members(db, domain, members);
}

void write_things(Db& db, DomainId domain, const std::vector<DocumentThing>& things,
                  DocumentChanges& changes)
{
    const auto entries = read_things(db, domain);
    for (const auto& row : device_classes()) {
        std::vector<const DocumentThing*> elements;
        for (const auto& thing : things)
            if (thing.device_class == row.name) elements.push_back(&thing);
        std::vector<const ThingRow*> there;
        for (const auto& entry : entries)
            if (entry.name.device_class == row.name) there.push_back(&entry);
        write_array(db, domain, std::move(elements), std::move(there), changes);
    }
}

}  // namespace

Result<void> check_name_is_free(Db& db, DomainId domain, const std::string& name)
{
    auto other =
        db.prepare("SELECT domid FROM domain WHERE name = ? AND id <> ? AND state <> 'destroyed'")
            .bind(name)
            .bind(value_of(domain));
    if (!other.step()) return {};
    return Error(Errc::exists,
                 "domain " + other.text(0) + " is called " + json_shown(name) + " already",
                 "nothing was changed; choose another name");
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
    const std::string name =
        document.name.empty() ? name_without_one(domain->domid) : document.name;
    if (name != domain->name)
        if (auto ok = check_name_is_free(db, fast.domain(), name); !ok) return ok;
    const auto traits = read_traits(db, fast.domain());
    db.prepare("UPDATE domain SET name = ?, layout = ?, layout_tight = ? WHERE id = ?")
        .bind(name)
        .bind(layout_name(document.layout))
        .bind(std::int64_t{layout_is_tight(document.layout)})
        .bind(value_of(fast.domain()))
        .run();
    DocumentChanges changes;
    write_members(db, fast.domain(), document.members, changes);
    write_things(db, fast.domain(), document.things, changes);
    if (auto ok = follow_document(db, fast.domain(), traits); !ok) return ok;
    add_line(store,
             HistoryLine{fast.domain(), "write document", {}, {}, "done", {}, changes.text()});
    return {};
}

Result<void> put_thing(Store& store, const FastHold& fast, std::string_view device_class,
                       std::string_view json, std::string_view operation)
{
    auto name = name_of_attach(device_class, json);
    if (!name) return std::move(name).error();
    auto minified = json_minify(json, device_class, limits::thing_bytes_max);
    if (!minified) return std::move(minified).error();
    const auto* of = find_device_class(device_class);
    const auto traits = read_traits(store.db(), fast.domain());
    const auto primary = thing_primary(*of, *minified, traits);
    // Without an identity it is another thing each time (R16).
    if (name->key.empty()) name->key = new_key(store.db(), fast.domain());
    const auto entry = read_thing(store.db(), fast.domain(), *name);
    if (primary == Primary::qemu || (entry && entry->primary == "qemu")) return of_qemu(*name);
    HistoryLine line{fast.domain(), std::string(operation), *name, {}, "done", {}, "new entry"};
    DocumentThing thing{std::string(device_class), name->key, 0, *std::move(minified), primary};
    line.medium_after = medium_in(*name, thing.json);
    if (entry) {
        const auto names = changed_members(entry->json, thing.json);
        line.evidence = names.empty() ? "nothing changed" : "changed " + names;
        line.medium_before = medium_in(*name, entry->json);
        update_thing(store.db(), entry->id, thing);
    } else {
        thing.position = next_position(store.db(), fast.domain(), device_class);
        insert_thing(store.db(), fast.domain(), thing);
    }
    if (device_class == kControllers)
        if (auto ok = follow_document(store.db(), fast.domain(), traits); !ok) return ok;
    add_line(store, std::move(line));
    return {};
}

Result<void> remove_thing(Store& store, const FastHold& fast, const ThingName& thing,
                          std::string_view operation)
{
    const auto entry = read_thing(store.db(), fast.domain(), thing);
    if (!entry)
        return Error(Errc::not_found, store.subject_of(fast.domain()) + " has no " + thing.text(),
                     "'xlstore things DOM' shows what it has");
    if (entry->primary == "qemu") return of_qemu(thing);
    const auto traits = read_traits(store.db(), fast.domain());
    drop(store.db(), entry->id);
    if (thing.device_class == kControllers)
        if (auto ok = follow_document(store.db(), fast.domain(), traits); !ok) return ok;
    HistoryLine line{fast.domain(), std::string(operation), thing, {}, "done", {}, "entry removed"};
    line.medium_before = medium_in(thing, entry->json);
    add_line(store, std::move(line));
    return {};
}

}  // namespace xlstore
