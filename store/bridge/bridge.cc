// SPDX-License-Identifier: MIT
// Elements are compared by class and key, and by content: the order of members and the layout are
// no difference. An element without identity is the one with its content. What is pending stays the
// store's in both directions: its intent says what becomes of it. The document's other members are
// compared by content too, but for the domain's name, which changes in the store alone.
#include "store/bridge/bridge.hpp"

#include <algorithm>
#include <set>

#include "store/base/clock.hpp"
#include "store/bridge/primaries.hpp"
#include "store/core/domain_word.hpp"
#include "store/libxl/document_file.hpp"
#include "store/libxl/host_lock.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/model/libxl_fields.hpp"
#include "store/operation/edit.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

using libxl::HostDirectories;
using libxl::HostLock;
using libxl::HostLockKind;

// libxl's document of a domain.
struct FileDocument {
    std::string text;
    Document document;
};

// Nothing: there is none. Error conflict: it is none of this domain's.
Result<std::optional<FileDocument>> read_file_of(const HostDirectories& where,
                                                 const libxl::FileOwner& domain)
{
    const std::string path = where.document(domain);
    auto file = libxl::read_document_file(path);
    if (!file) return std::move(file).error();
    if (!*file) return std::optional<FileDocument>();
    auto document = parse_document((*file)->text, path);
    if (!document) return std::move(document).error();
    if (document->uuid != domain.uuid)
        return Error(Errc::conflict, path + " is of the domain with uuid " + document->uuid,
                     "'xlfsck --libxl' says what can be done about it");
    return std::optional(FileDocument{std::move((*file)->text), *std::move(document)});
}

std::set<std::int64_t> with_open_intent(Db& db, DomainId domain)
{
    std::set<std::int64_t> open;
    auto rows = db.prepare("SELECT thing FROM intent WHERE domain = ?").bind(value_of(domain));
    while (rows.step())
        open.insert(rows.integer(0));
    return open;
}

bool is_pending(const ThingRow& entry, const std::set<std::int64_t>& open)
{
    return open.contains(entry.id) || (entry.state != "present" && entry.state != "stale");
}

// Which element of `things` is this entry; nothing: none.
const DocumentThing* element_of(const std::vector<DocumentThing>& things, const ThingRow& entry,
                                const std::set<const DocumentThing*>& taken)
{
    for (const auto& one : things) {
        if (one.device_class != entry.name.device_class || taken.contains(&one)) continue;
        if (one.has_identity ? one.key == entry.name.key : json_equal(one.json, entry.json))
            return &one;
    }
    return nullptr;
}

// No element: the array of a class has no text of its own.
std::optional<std::string> member_of(const std::vector<DocumentMember>& members,
                                     std::string_view key)
{
    const auto at = std::ranges::find(members, key, &DocumentMember::key);
    return at == members.end() ? std::nullopt : at->text;
}

bool is_same_member(std::string_view key, const std::string& own, const std::string& files)
{
    if (key != "c_info") return json_equal(own, files);
    return json_equal(json_without_member(own, "name"), json_without_member(files, "name"));
}

void add_members(std::vector<BridgeDifference>& all, const std::vector<DocumentMember>& own,
                 const std::vector<DocumentMember>& files)
{
    const auto add = [&](const std::string& key, std::optional<std::string> in_store,
                         std::optional<std::string> in_file) {
        ThingName name{std::string(kMemberClass), key};
        all.push_back({std::move(name), std::move(in_store), std::move(in_file)});
    };
    for (const auto& member : own) {
        if (!member.text) continue;
        auto in_file = member_of(files, member.key);
        if (!in_file || !is_same_member(member.key, *member.text, *in_file))
            add(member.key, member.text, std::move(in_file));
    }
    for (const auto& member : files)
        if (member.text && !member_of(own, member.key)) add(member.key, std::nullopt, member.text);
}

std::vector<BridgeDifference> differences_of(Db& db, DomainId domain, const Document& file)
{
    std::vector<BridgeDifference> all;
    const auto& things = file.things;
    const ReadTransaction snapshot(db);  // R2
    const auto open = with_open_intent(db, domain);
    std::set<const DocumentThing*> taken;
    for (const auto& entry : read_things(db, domain)) {
        const auto* of = find_device_class(entry.name.device_class);
        if (!of || !of->in_document) continue;  // in no document
        const auto* element = element_of(things, entry, taken);
        if (element) taken.insert(element);
        if (element && json_equal(element->json, entry.json)) continue;
        BridgeDifference one{entry.name, entry.json, std::nullopt, entry.state,
                             is_pending(entry, open)};
        if (element) one.in_file = element->json;
        all.push_back(std::move(one));
    }
    for (const auto& element : things)
        if (!taken.contains(&element))
            all.push_back({{element.device_class, element.key}, std::nullopt, element.json});
    add_members(all, read_members(db, domain), file.members);
    return all;
}

BridgedDomain bridged(const DomainRow& row)
{
    BridgedDomain one;
    one.domid = row.domid;
    one.uuid = row.uuid;
    one.name = row.name;
    one.in_store = true;
    return one;
}

// Domains of the store with what libxl's file of each has.
BridgedDomain look_at(Store& store, const HostDirectories& where, const DomainRow& row)
{
    BridgedDomain one = bridged(row);
    const libxl::FileOwner owner{row.domid, row.uuid};
    auto file = read_file_of(where, owner);
    if (!file || *file) one.file = where.document(owner);
    if (!file) {
        one.trouble = std::move(file).error();
    } else if (*file) {
        one.differences = differences_of(store.db(), row.id, (*file)->document);
    }
    return one;
}

BridgedDomain file_alone(const HostDirectories& where, const libxl::FileOwner& domain)
{
    BridgedDomain one;
    one.domid = domain.domid;
    one.uuid = domain.uuid;
    one.file = where.document(domain);
    auto file = read_file_of(where, domain);
    if (!file)
        one.trouble = std::move(file).error();
    else if (*file)
        one.name = (*file)->document.name;
    return one;
}

struct Worlds {
    std::vector<DomainRow> rows;
    std::vector<libxl::FileOwner> files_alone;
};

// libxl's files of domains that `rows` lacks.
Result<std::vector<libxl::FileOwner>> files_without(const std::vector<DomainRow>& rows,
                                                    const HostDirectories& where)
{
    std::vector<libxl::FileOwner> alone;
    auto names = libxl::list_userdata(where.lib());
    if (!names) return std::move(names).error();
    for (const auto& name : *names) {
        const auto is_its = [&](const DomainRow& row) {
            return row.domid == name.domain.domid && row.uuid == name.domain.uuid;
        };
        if (name.which == 'd' && name.userid == libxl::kDocumentUserid && name.domain.domid != 0 &&
            std::ranges::none_of(rows, is_its))
            alone.push_back(name.domain);
    }
    return alone;
}

bool is_called(const HostDirectories& where, const libxl::FileOwner& domain, const Reading& as)
{
    switch (as.by) {
    case NamedBy::domid:
        return domain.domid == std::get<std::int64_t>(as.value);
    case NamedBy::uuid:
        return domain.uuid == std::get<std::string>(as.value);
    case NamedBy::name:
        break;
    }
    return file_alone(where, domain).name == std::get<std::string>(as.value);
}

// The one of libxl's files alone that a word names, which no domain of the store has.
Result<Worlds> one_file(const std::vector<DomainRow>& rows, const HostDirectories& where,
                        const std::string& word, Error not_in_store)
{
    const auto alone = files_without(rows, where);
    for (const auto& as : readings_of(word)) {
        Worlds found;
        for (const auto& domain : alone ? *alone : std::vector<libxl::FileOwner>())
            if (is_called(where, domain, as)) found.files_alone.push_back(domain);
        if (found.files_alone.size() > 1)
            return Error(Errc::invalid,
                         json_shown(word) + " fits several of libxl's documents, the first is " +
                             where.document(found.files_alone.front()),
                         "name one by uuid:UUID");
        if (!found.files_alone.empty()) return found;
    }
    not_in_store.message += ", nor among the documents in " + where.lib();
    return not_in_store;
}

// What a domain has is not compared before it runs, and not when it ends.
Result<Worlds> one_row(DomainRow row)
{
    if (row.state == DomainState::creating)
        return Error(Errc::busy, row.subject() + " is being created",
                     "nothing was changed; wait until it runs, or run 'xlstore recover'");
    if (row.state != DomainState::running)
        return Error(Errc::gone, row.subject() + " is being destroyed (R8)", "nothing was changed");
    Worlds found;
    found.rows.push_back(std::move(row));
    return found;
}

Result<Worlds> both_worlds(Store& store, const HostDirectories& where,
                           const std::optional<std::string>& only)
{
    auto rows = living_domains(store.db());
    if (only) {
        auto row = find_domain(store.db(), *only);
        if (row) return one_row(*std::move(row));
        if (row.error().code != Errc::not_found) return std::move(row).error();
        return one_file(rows, where, *only, std::move(row).error());
    }
    Worlds worlds;
    auto alone = files_without(rows, where);
    if (!alone) return std::move(alone).error();
    worlds.files_alone = *std::move(alone);
    std::erase_if(rows, [](const DomainRow& row) { return row.state != DomainState::running; });
    worlds.rows = std::move(rows);
    return worlds;
}

// c_info of the file with the name that the store has.
std::string with_own_name(const std::string& files, const std::string& own)
{
    const auto name = json_find(own, "name");
    return name ? with_libxl_member("c_info", files, "name", *name)
                : json_without_member(files, "name");
}

// The file's document with what the store keeps: the domain's name, what is pending, things of
// QEMU's, and elements that the file lacks.
Document merged(Db& db, DomainId domain, Document file)
{
    file.name = read_domain(db, domain)->name;
    const auto open = with_open_intent(db, domain);
    const auto own_info = member_of(read_members(db, domain), "c_info");
    for (auto& member : file.members)
        if (member.key == "c_info" && member.text && own_info)
            member.text = with_own_name(*member.text, *own_info);
    std::set<const DocumentThing*> taken;
    std::vector<DocumentThing> kept;
    for (const auto& entry : read_things(db, domain)) {
        const auto* element = element_of(file.things, entry, taken);
        if (element) taken.insert(element);
        const bool own = !element || is_pending(entry, open) || entry.primary == "qemu";
        DocumentThing thing{};
        thing.device_class = entry.name.device_class;
        thing.key = entry.name.key;
        thing.json = own ? entry.json : element->json;
        thing.primary = element && !own                ? element->primary
                        : entry.primary == "qemu"     ? Primary::qemu
                        : entry.primary == "xenstore" ? Primary::xenstore
                                                      : Primary::none;
        thing.has_identity = !entry.name.key.starts_with('#');
        thing.position = static_cast<std::int64_t>(kept.size());
        kept.push_back(std::move(thing));
    }
    for (const auto& element : file.things) {
        if (taken.contains(&element)) continue;
        kept.push_back(element);
        kept.back().position = static_cast<std::int64_t>(kept.size());
    }
    file.things = std::move(kept);
    return file;
}

Task<Result<BridgedDomain>> sync_row(Store& store, HostDirectories where, DomainRow row,
                                     Deadline until)
{
    const std::string operation("bridge sync");
    auto fast = co_await store.fast_lock(store.loop(), row.id, operation, until);
    if (!fast) co_return std::move(fast).error();
    const libxl::FileOwner owner{row.domid, row.uuid};
    auto lock = co_await HostLock::take(
        store.loop(), libxl::lock_path(where, owner, HostLockKind::document), until);
    if (!lock) co_return std::move(lock).error();
    BridgedDomain before = look_at(store, where, row);
    if (before.trouble) co_return *std::move(before.trouble);
    if (before.file.empty() || before.differences.empty()) co_return std::move(before);
    auto file = read_file_of(where, owner);
    if (!file) co_return std::move(file).error();
    auto written = co_await store.with_held_fast_lock(
        store.loop(), *fast, operation, until, [&](const FastHold& hold) -> Result<void> {
            if (auto begun = begin_edit(store, hold, 0); !begun) return std::move(begun).error();
            return write_document(store, hold,
                                  merged(store.db(), row.id, std::move((*file)->document)));
        });
    if (!written) co_return std::move(written).error();
    co_return look_at(store, where, row);
}

Task<BridgedDomain> import_file(Store& store, HostDirectories where, libxl::FileOwner domain,
                                Deadline until)
{
    BridgedDomain one = file_alone(where, domain);
    if (one.trouble) co_return one;
    auto file = read_file_of(where, domain);
    if (!file || !*file) co_return one;
    auto row =
        co_await import_domain(store, domain.domid, std::move((*file)->text), one.file, until);
    if (row)
        one = look_at(store, where, *row);
    else
        one.trouble = std::move(row).error();
    co_return one;
}

// One of a kind: a write that ended behind its copy is asked for again.
void keep_copy(Db& db, DomainId domain, const std::string& why, const std::string& text)
{
    const auto now = now_us();
    for (const auto* change :
         {"UPDATE set_aside SET at_us = ?1 "
          "WHERE domain = ?2 AND what = ?3 AND why = ?4 AND text = ?5",
          "INSERT INTO set_aside (at_us, domain, what, why, text) VALUES (?1, ?2, ?3, ?4, ?5)"}) {
        db.prepare(change)
            .bind(now)
            .bind(value_of(domain))
            .bind("libxl's document")
            .bind(why)
            .bind(text)
            .run();
        if (db.changes() > 0) return;
    }
}

// R22: what differs in the file goes only with a copy, which is committed before it is written
// over.
Task<Result<void>> keep_file(Store& store, const FastLock& fast, const libxl::FileOwner& owner,
                             HostDirectories where, Deadline until)
{
    auto file = read_file_of(where, owner);
    if (!file) co_return std::move(file).error();
    const std::string path = where.document(owner);
    if (!*file)
        co_return Error(Errc::conflict, path + " was removed meanwhile", "nothing was changed");
    co_return co_await store.with_held_fast_lock(
        store.loop(), fast, "bridge write", until, [&](const FastHold& hold) -> Result<void> {
            keep_copy(store.db(), hold.domain(), "'bridge write' wrote the store's over " + path,
                      (*file)->text);
            return {};
        });
}

// What the file has and the store lacks would be lost.
Result<void> nothing_is_lost(const BridgedDomain& before, const DomainTraits& traits)
{
    for (const auto& one : before.differences) {
        if (one.in_store) continue;
        const auto* of = find_device_class(one.thing.device_class);
        const bool of_qemu = of && thing_primary(*of, *one.in_file, traits) == Primary::qemu;
        return Error(Errc::conflict,
                     before.file + " has " + one.thing.text() + ", which the store lacks",
                     of_qemu ? "nothing was changed; sync leaves it out, because QEMU alone tells: "
                               "'xlstore recover' gives it an entry if QEMU has it; if not, xl "
                               "detaches it"
                             : "nothing was changed; run 'xlstore bridge sync' first");
    }
    return {};
}

}  // namespace

Task<Result<std::vector<BridgedDomain>>> bridge_status(Store& store, HostDirectories where,
                                                       std::optional<std::string> only,
                                                       Deadline until)
{
    auto worlds = both_worlds(store, where, only);
    if (!worlds) co_return std::move(worlds).error();
    std::vector<BridgedDomain> all;
    for (const auto& row : worlds->rows) {
        all.push_back(look_at(store, where, row));
        if (all.back().differences.empty()) continue;
        const auto seen = co_await Primaries::look(store, row, until);
        for (auto& one : all.back().differences)
            seen.judge(one);
    }
    for (const auto& domain : worlds->files_alone)
        all.push_back(file_alone(where, domain));
    std::ranges::stable_sort(all, {}, &BridgedDomain::domid);
    co_return std::move(all);
}

Task<Result<std::vector<BridgedDomain>>> bridge_sync(Store& store, HostDirectories where,
                                                     std::optional<std::string> only,
                                                     Deadline until)
{
    auto worlds = both_worlds(store, where, only);
    if (!worlds) co_return std::move(worlds).error();
    std::vector<BridgedDomain> all;
    for (const auto& row : worlds->rows) {
        auto done = co_await sync_row(store, where, row, until);
        all.push_back(done ? *std::move(done) : look_at(store, where, row));
        if (!done) all.back().trouble = std::move(done).error();
    }
    for (const auto& domain : worlds->files_alone) {
        auto one = co_await import_file(store, where, domain, until);
        all.push_back(std::move(one));
    }
    if (only && all.front().trouble) co_return *std::move(all.front().trouble);
    std::ranges::stable_sort(all, {}, &BridgedDomain::domid);
    co_return std::move(all);
}

Task<Result<BridgedDomain>> bridge_write(Store& store, HostDirectories where, DomainRow domain,
                                         Deadline until)
{
    const std::string operation("bridge write");
    auto fast = co_await store.fast_lock(store.loop(), domain.id, operation, until);
    if (!fast) co_return std::move(fast).error();
    const libxl::FileOwner owner{domain.domid, domain.uuid};
    auto lock = co_await HostLock::take(
        store.loop(), libxl::lock_path(where, owner, HostLockKind::document), until);
    if (!lock) co_return std::move(lock).error();
    const auto row = read_domain(store.db(), domain.id);
    if (!row || row->state != DomainState::running)
        co_return Error(Errc::gone, domain.subject() + " was destroyed or is being destroyed (R8)");
    const BridgedDomain before = look_at(store, where, *row);
    if (before.trouble) co_return *before.trouble;
    const auto traits = read_traits(store.db(), row->id);
    if (auto safe = nothing_is_lost(before, traits); !safe) co_return std::move(safe).error();
    const auto text = export_document(store.db(), *row);
    if (!text) co_return text.error();
    if (!before.differences.empty()) {
        auto kept = co_await keep_file(store, *fast, owner, where, until);
        if (!kept) co_return std::move(kept).error();
    }
    if (auto written = libxl::write_document_file(where, owner, *text); !written)
        co_return std::move(written).error();
    co_return look_at(store, where, *row);
}

}  // namespace xlstore
