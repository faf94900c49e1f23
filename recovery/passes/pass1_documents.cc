// SPDX-License-Identifier: MIT
// Pass 1: the documents, row by row.
//
// Checks     that each entry's text is JSON, of a known class, and that of the thing and the
//            primary that its row names, and that an intent says why it changes (1001-1004, 1020);
//            that each member is JSON, spelled as its key, and where it belongs    (1005-1008);
//            that the document is its domain's, and the same in SQL and in C++     (1009-1010).
// Relies on  pass 0.
// Leaves     documents that can be read. No entry goes (R1): one whose text is lost keeps the key
//            that its row has; the text is quarantined.
#include <algorithm>
#include <set>
#include <utility>

#include "recovery/base/quarantine.hpp"
#include "recovery/passes/passes.hpp"
#include "store/classes/class_rebuild.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/journal.hpp"
#include "store/core/product.hpp"
#include "store/model/device_class.hpp"
#include "store/model/document.hpp"
#include "store/model/libxl_fields.hpp"
#include "store/qmp/protocol.hpp"

namespace xlstore::recovery {

namespace {

constexpr std::string_view kNoBdf = "0000:00:00.0";
// A copy that is kept of what only got the domain's name and uuid: nothing of it was lost.
constexpr const char* kOfAnother = "it was that of another domain";

struct Flaw {
    Code code;
    std::string why;
};

std::optional<Flaw> flaw_of(const ThingRow& entry, const DomainTraits& traits)
{
    const DeviceClass* of = find_device_class(entry.name.device_class);
    if (of == nullptr) return Flaw{Code::entry_class_unknown, "this program does not know it"};
    const auto minified = json_minify(entry.json, "its text");
    if (!minified) return Flaw{Code::entry_unreadable, minified.error().message};
    if (*minified != entry.json)
        return Flaw{Code::entry_unreadable, "its text is not as the store writes it"};
    const auto key = thing_key(*of, entry.json, 0);
    if (!key) return Flaw{Code::entry_unreadable, key.error().message};
    // One without identity has a key that the store gave it; release 0.1 took a PCI device given by
    // name for the one at 0000:00:00.0.
    const bool given = key->empty() && (entry.name.key.starts_with('#') ||
                                        (of->key == KeyRule::bdf && entry.name.key == kNoBdf));
    if (*key != entry.name.key && !given)
        return Flaw{Code::entry_key_differs, "its text is that of " + qmp::printable(*key)};
    const auto primary = primary_name(thing_primary(*of, entry.json, traits));
    if (primary != entry.primary)
        return Flaw{Code::entry_primary_differs,
                    "the row has " + entry.primary + ", the document " + std::string(primary)};
    return std::nullopt;
}

std::optional<Flaw> flaw_of(const DocumentMember& member)
{
    const DeviceClass* of = find_device_class(member.key);
    const bool of_entries = of != nullptr && of->in_document;
    if (of_entries && member.text)
        return Flaw{Code::member_misplaced, "it stands where the entries belong"};
    if (!of_entries && !member.text)
        return Flaw{Code::member_misplaced, "no array of a document has this name"};
    if (member.text) {
        const auto minified = json_minify(*member.text, "its text");
        if (!minified) return Flaw{Code::member_unreadable, minified.error().message};
        if (*minified != *member.text)
            return Flaw{Code::member_unreadable, "its text is not as the store writes it"};
    }
    if (has_own_spelling(member)) return std::nullopt;
    return Flaw{Code::member_key_differs, "it is spelled " + qmp::printable(member.key_text)};
}

// read_traits(), of rows that are read already.
DomainTraits traits_of(const std::vector<DocumentMember>& members,
                       const std::vector<ThingRow>& things)
{
    const auto text_of = [&](std::string_view key) -> std::string_view {
        const auto member = std::ranges::find(members, key, &DocumentMember::key);
        return member != members.end() && member->text ? std::string_view(*member->text) : "";
    };
    DomainTraits traits{domain_type_in(text_of("c_info"), text_of("b_info"))};
    for (const auto& thing : things)
        if (thing.name.device_class == "usbctrls") traits.add_controller(thing.json);
    return traits;
}

// What is known of an entry whose text is lost: an open intent has the text once more; failing
// that there is the key, and pass 5 puts down what QEMU says of the rest.
std::string text_instead(Db& db, DomainId domain, const ThingRow& entry)
{
    ThingRow instead = entry;
    if (const auto id = open_intent_of(db, domain, entry.name))
        if (const auto intent = read_intent(db, *id)) {
            const auto& image =
                intent->draft.image_after ? intent->draft.image_after : intent->draft.image_before;
            instead.json = image.value_or("");
            if (!flaw_of(instead, read_traits(db, domain))) return instead.json;
        }
    const auto* of = find_device_class(entry.name.device_class);
    if (of->key != KeyRule::given)
        return element_of_key(*of, entry.name.key, entry.primary == "qemu");
    return found_entry(entry.name.key, made_of(db, domain, entry).products);
}

// c_info with name and uuid of the row; without them where the document came without, as Xen's
// stub of domain 0.
std::string with_identity(const DomainRow& domain, const std::string& c_info)
{
    if (domain.uuid == kNilUuid && domain.name == name_without_one(domain.domid))
        return json_without_member(json_without_member(c_info, "name"), "uuid");
    const auto named = with_libxl_member("c_info", c_info, "name", json_quote(domain.name));
    return with_libxl_member("c_info", named, "uuid", json_quote(domain.uuid));
}

// Its intent was deleted, or lost: nothing else would ever settle it (R10). A thing of xenstore has
// none: one that is being removed waits for its guest, or for the same request again.
bool is_orphaned(Db& db, DomainId domain, const ThingRow& entry)
{
    return entry.state != "present" && entry.state != "stale" &&
           !(entry.primary == "xenstore" && entry.state == "removing") &&
           !open_intent_of(db, domain, entry.name);
}

class Documents {
public:
    Documents(Check& check, Store& store) : check_(check), store_(store) {}

    /// REQUIRES all of `members` and `things` that it has.
    void look(const DomainRow& domain, const std::vector<DocumentMember>& members,
              const std::vector<ThingRow>& things)
    {
        Db& db = store_.db();
        const auto traits = traits_of(members, things);
        const std::size_t before = found_.size();
        std::set<std::string_view> arrays;
        for (const auto& thing : things) {
            if (auto flaw = flaw_of(thing, traits))
                add(domain, *flaw, thing.name.text(), repair(thing));
            if (domain.state == DomainState::running && is_orphaned(db, domain.id, thing))
                add(domain, Flaw{Code::entry_orphaned, "the entry is " + thing.state},
                    thing.name.text(), call_present(thing.name));
            const auto* of = find_device_class(thing.name.device_class);
            if (of != nullptr && of->in_document) arrays.insert(of->name);
        }
        for (const auto& member : members) {
            if (auto flaw = flaw_of(member))
                add(domain, *flaw, "member " + qmp::printable(member.key),
                    repair(domain, member, flaw->code));
            arrays.erase(member.key);
        }
        for (const auto array : arrays)
            add(domain, Flaw{Code::array_unlisted, "the document does not show its entries"},
                std::string(array), list(std::string(array)));
        look_for_lost(domain, members);
        const auto c_info = std::ranges::find(members, "c_info", &DocumentMember::key);
        // Where that is damaged its repair makes it the domain's.
        if (c_info == members.end() || !flaw_of(*c_info))
            look_at_identity(domain, c_info == members.end() ? std::nullopt : c_info->text);
        // With a schema and rows that are sound it cannot be otherwise: it takes as long as all
        // else.
        if (check_.options().whole && found_.size() == before)
            look_at_whole(domain, members, things);
    }

    /// They were looked at by id.
    void order_by_domid()
    {
        std::ranges::stable_sort(found_, {}, [](const Found& found) { return found.about.domid; });
    }

    Task<void> ask_and_mend()
    {
        std::set<DomainId> mended;
        for (auto& found : found_) {
            if (!found.repair) {
                check_.report(found.code, found.about);
                continue;
            }
            if (!check_.ask(found.code, found.about)) continue;
            auto done = co_await act(found);
            if (!done) {
                check_.failed(found.code, found.about, done.error());
                continue;
            }
            check_.fixed(found.code, found.about);
            if (found.code == Code::member_unreadable) mended.insert(found.domain);
        }
        tell_lost(mended);
    }

private:
    // Runs in the commit that makes it true; looks again first.
    using Repair = std::function<Result<void>(Db&, DomainId)>;
    struct Found {
        Code code;
        Subject about;
        DomainId domain;
        Repair repair;  ///< nothing: which side is right cannot be told from rows
    };

    void add(const DomainRow& domain, const Flaw& flaw, const std::string& what, Repair repair)
    {
        found_.push_back(
            Found{flaw.code, Subject{domain.subject() + ": " + what, flaw.why, domain.domid, {}},
                  domain.id, problem(flaw.code).question.empty() ? Repair() : std::move(repair)});
    }

    // What a repair took is said in the same run, and once.
    void tell_lost(const std::set<DomainId>& mended)
    {
        const auto told = std::exchange(found_, {});
        for (const auto id : mended)
            if (const auto domain = read_domain(store_.db(), id))
                look_for_lost(*domain, read_members(store_.db(), id));
        for (const auto& lost : found_)
            if (std::ranges::none_of(told, [&](const Found& found) {
                    return found.code == lost.code && found.about.text == lost.about.text;
                }))
                check_.report(lost.code, lost.about);
    }

    // libxl makes no domain of a document without these. One that never had b_info is as it was
    // written; one of which a repair or a salvage took it says so until it has it again.
    void look_for_lost(const DomainRow& domain, const std::vector<DocumentMember>& members)
    {
        const auto c_info = std::ranges::find(members, "c_info", &DocumentMember::key);
        const bool has_type =
            c_info != members.end() && c_info->text && json_find(*c_info->text, "type");
        const bool has_b_info = std::ranges::count(members, "b_info", &DocumentMember::key) != 0;
        for (const auto& [key, there] : {std::pair{"c_info", has_type}, {"b_info", has_b_info}})
            if (!there && was_taken(domain.id, key))
                add(domain,
                    Flaw{Code::member_missing,
                         "libxl needs it; what was left of it is in the table set_aside; a "
                         "toolstack that writes the document back puts it right"},
                    "member " + qmp::printable(key), {});
    }

    [[nodiscard]] bool was_taken(DomainId domain, const char* key)
    {
        auto found = store_.db().prepare(
            "SELECT 1 FROM set_aside WHERE domain = ?1 AND what IN ('member ' || ?2, 'member ' || "
            "?3) AND why <> ?4");
        found.bind(value_of(domain)).bind(key).bind(qmp::printable(key)).bind(kOfAnother);
        return found.step();
    }

    // `c_info`: nothing where the document has none.
    void look_at_identity(const DomainRow& domain, const std::optional<std::string>& c_info)
    {
        const auto name = json_get_string(c_info.value_or("{}"), "name");
        auto uuid = json_get_string(c_info.value_or("{}"), "uuid");
        if (uuid) uuid = normal_uuid(*std::move(uuid));
        if (c_info && name.value_or(name_without_one(domain.domid)) == domain.name &&
            uuid.value_or(std::string(kNilUuid)) == domain.uuid)
            return;
        add(domain,
            Flaw{Code::identity_differs,
                 "c_info has name " + (name ? qmp::printable(*name) : "none") + ", uuid " +
                     uuid.value_or("none") + "; the row has uuid " + domain.uuid},
            "document", identify(domain));
    }

    void look_at_whole(const DomainRow& domain, const std::vector<DocumentMember>& members,
                       const std::vector<ThingRow>& things)
    {
        std::vector<DocumentThing> ordered;
        for (const auto& thing : things) {
            const auto* of = find_device_class(thing.name.device_class);
            if (of == nullptr || !of->in_document) continue;
            ordered.push_back(DocumentThing{thing.name.device_class, thing.name.key,
                                            static_cast<std::int64_t>(ordered.size()), thing.json,
                                            of->primary});
        }
        // With a schema and rows that are sound it cannot be otherwise: it takes as long as all
        // else.
        if (check_.options().whole &&
            read_document(store_.db(), domain.id) != document_text(members, ordered))
            add(domain, Flaw{Code::document_differs, "view libxl_json"}, "document", {});
    }

    // Never towards absence: pass 5 asks QEMU, and calls it stale if it is not there.
    static Repair call_present(const ThingName& name)
    {
        return [name](Db& db, DomainId domain) -> Result<void> {
            const auto entry = read_thing(db, domain, name);
            if (!entry || !is_orphaned(db, domain, *entry)) return {};  // settled meanwhile
            db.prepare("UPDATE thing SET state = 'present' WHERE id = ?").bind(entry->id).run();
            return {};
        };
    }

    static Repair repair(const ThingRow& seen)
    {
        return [seen](Db& db, DomainId domain) -> Result<void> {
            const auto entry = read_thing(db, domain, seen.name);
            const auto traits = read_traits(db, domain);
            const auto flaw = entry ? flaw_of(*entry, traits) : std::nullopt;
            if (!flaw) return {};  // another process wrote it anew meanwhile
            std::string json = entry->json;
            if (flaw->code == Code::entry_unreadable) {
                quarantine(db, domain, "entry " + entry->name.text(), flaw->why, json);
                json = text_instead(db, domain, *entry);
            }
            const auto* of = find_device_class(entry->name.device_class);
            db.prepare("UPDATE thing SET json = ?, primary_at = ? WHERE id = ?")
                .bind(json)
                .bind(primary_name(thing_primary(*of, json, traits)))
                .bind(entry->id)
                .run();
            return {};
        };
    }

    static Repair repair(const DomainRow& domain, const DocumentMember& seen, Code code)
    {
        const std::string c_info = with_identity(domain, "{}");
        const bool goes = code == Code::member_unreadable && seen.key != "c_info";
        const bool no_array = code == Code::member_misplaced && !seen.text;
        std::optional<std::string> text = seen.text;
        if (code == Code::member_unreadable) text = c_info;
        if (code == Code::member_misplaced) text.reset();
        return [seen, code, text, goes = goes || no_array](Db& db, DomainId id) -> Result<void> {
            const auto members = read_members(db, id);
            const auto now = std::ranges::find(members, seen.rank, &DocumentMember::rank);
            if (now == members.end() || now->key != seen.key) return {};
            const auto flaw = flaw_of(*now);
            if (!flaw || flaw->code != code) return {};  // another process wrote it anew meanwhile
            if (now->text && text != now->text)
                quarantine(db, id, "member " + qmp::printable(now->key), flaw->why, *now->text);
            if (goes)
                db.prepare("DELETE FROM document_member WHERE domain = ? AND rank = ?")
                    .bind(value_of(id))
                    .bind(now->rank)
                    .run();
            else
                db.prepare(
                      "UPDATE document_member SET text = ?, key_text = ? WHERE domain = ? AND "
                      "rank = ?")
                    .bind(text)
                    .bind(json_quote(now->key))
                    .bind(value_of(id))
                    .bind(now->rank)
                    .run();
            return {};
        };
    }

    static Repair identify(const DomainRow& domain)
    {
        return [domain](Db& db, DomainId id) -> Result<void> {
            const auto members = read_members(db, id);
            const auto now = std::ranges::find(members, "c_info", &DocumentMember::key);
            if (now == members.end()) {
                db.prepare(
                      "INSERT INTO document_member (domain, rank, key, key_text, text) "
                      "SELECT ?1, coalesce(min(rank), 0) - 10, 'c_info', '\"c_info\"', ?2 "
                      "FROM document_member WHERE domain = ?1")
                    .bind(value_of(id))
                    .bind(with_identity(domain, "{}"))
                    .run();
                return {};
            }
            const std::string old = now->text.value_or("{}");
            quarantine(db, id, "member c_info", kOfAnother, old);
            db.prepare("UPDATE document_member SET text = ? WHERE domain = ? AND rank = ?")
                .bind(with_identity(domain, old))
                .bind(value_of(id))
                .bind(now->rank)
                .run();
            return {};
        };
    }

    // Last, where document_text() has arrays without a place.
    static Repair list(const std::string& array)
    {
        return [array](Db& db, DomainId domain) -> Result<void> {
            db.prepare(
                  "INSERT INTO document_member (domain, rank, key, key_text) "
                  "SELECT ?1, 10 + (SELECT coalesce(max(rank), 0) FROM document_member WHERE "
                  "domain = ?1), ?2, ?3 WHERE NOT EXISTS "
                  "(SELECT 1 FROM document_member WHERE domain = ?1 AND key = ?2)")
                .bind(value_of(domain))
                .bind(array)
                .bind(json_quote(array))
                .run();
            return {};
        };
    }

    // Under the slow lock: the thing may be QEMU's (R3).
    Task<Result<void>> act(const Found& found)
    {
        const auto until = check_.deadline();
        auto hold = co_await store_.slow_lock(found.domain, found.about.text, "recover", until);
        if (!hold) co_return std::move(hold).error();
        Journal journal(store_);
        const std::string operation("repair document");
        const std::function<Result<void>(const FastHold&)> section =
            [&](const FastHold& fast) -> Result<void> {
            if (auto done = found.repair(store_.db(), fast.domain()); !done) return done;
            journal.add_history(HistoryLine{fast.domain(),
                                            operation,
                                            {},
                                            {},
                                            "done",
                                            {},
                                            found.about.text + ": " + found.about.evidence});
            return {};
        };
        // Of the reserve half: nothing is taken away without a copy (R22), and what the copies
        // would take is left to those commits that have to succeed on a full disk (R21).
        co_return co_await unless_full(
            journal.commit(*hold, operation, until, section, Room::half));
    }

    Check& check_;
    Store& store_;
    std::vector<Found> found_;
};

void look_at_all(Check& check, Db& db, Documents& documents)
{
    const ReadTransaction snapshot(db);  // R2
    const auto& only = check.options().only;
    auto domains = living_domains(db);
    std::erase_if(domains, [&](const DomainRow& d) {
        // R8: a document that is going takes no edits.
        return d.state == DomainState::destroying || (only && d.id != *only);
    });
    if (domains.empty()) return;
    std::ranges::sort(domains, {}, &DomainRow::id);
    auto members = members_by_domain(db, domains.front().id, domains.back().id);
    auto things = things_by_domain(db, domains.front().id, domains.back().id);
    int number = 0;
    for (const auto& domain : domains) {
        if (check.cancelled()) break;
        check.progress(1, number++, static_cast<int>(domains.size()));
        documents.look(domain, members.of(domain.id), things.of(domain.id));
    }
    documents.order_by_domid();
}

}  // namespace

Task<void> pass1_documents(Check& check, Store& store)
{
    Documents documents(check, store);
    look_at_all(check, store.db(), documents);
    if (!check.cancelled()) co_await documents.ask_and_mend();
}

}  // namespace xlstore::recovery
