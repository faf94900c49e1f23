// SPDX-License-Identifier: MIT
// The outgoing document is the exported one without stale entries, under another name if one is
// asked for. What no document can hold goes beside it: for each thing of QEMU's its place in the
// order of making and its address, and things of the classes qemu and vcpus whole. On the other
// side carried_things() checks that text like any other from outside, against the document that it
// came with.
#include "store/operation/migration.hpp"

#include <algorithm>
#include <set>

#include "store/base/clock.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/product.hpp"
#include "store/core/registration_row.hpp"
#include "store/model/libxl_fields.hpp"
#include "store/operation/closing.hpp"
#include "store/os/process.hpp"
#include "store/qmp/address.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kFormat = "xlstore things 1";

// Can it be made from its entry alone?
// What was found in QEMU by a registration has an entry that describes it, and no plan.
bool can_be_made(const ThingRow& thing)
{
    return thing.name.device_class == "vcpus" ||
           draft_attach(thing.name.device_class, thing.json).has_value();
}

std::string carried_json(const ThingRow& thing, bool in_document)
{
    std::vector<std::pair<std::string, std::string>> members = {
        {"class", json_quote(thing.name.device_class)}, {"key", json_quote(thing.name.key)}};
    if (!in_document) members.emplace_back("thing", thing.json);
    if (!thing.address.empty()) members.emplace_back("address", thing.address);
    return json_object(members);
}

// Fills `things`, `notes` and `unknown`.
void add_things(Db& db, const DomainRow& row, OutgoingDocument& outgoing)
{
    std::string list;
    for (const auto& thing : read_things_as_made(db, row.id)) {
        const DeviceClass* of = find_device_class(thing.name.device_class);
        if (thing.state == "stale" || thing.primary != "qemu") continue;
        const bool in_document = of != nullptr && of->in_document;
        if (!in_document)
            outgoing.notes.push_back(thing.name.text() + " is in no document: attach it there");
        if (!in_document && !can_be_made(thing)) {
            outgoing.unknown.push_back(thing.name.text() +
                                       " was found in QEMU, and how it is made is not known: the "
                                       "QEMU there has to be started with it");
            continue;
        }
        const auto made = made_of(db, row.id, thing);
        if (thing.address.empty() && made.recorded &&
            std::any_of(made.products.begin(), made.products.end(), is_device))
            outgoing.unknown.push_back(thing.name.text() +
                                       ": where QEMU put it is not known; 'xlstore close domid:" +
                                       std::to_string(row.domid) + "' asks");
        list += (list.empty() ? "" : ",") + carried_json(thing, in_document);
    }
    const std::string all = json_object({{"format", json_quote(kFormat)},
                                         {"uuid", json_quote(row.uuid)},
                                         {"things", "[" + list + "]"}});
    outgoing.things = json_pretty(all, JsonLayout::yajl);
}

}  // namespace

std::string carried_text(Db& db, const DomainRow& domain)
{
    OutgoingDocument outgoing;
    add_things(db, domain, outgoing);
    return outgoing.things;
}

Result<OutgoingDocument> outgoing_document(Db& db, const DomainRow& domain,
                                           const std::optional<std::string>& name)
{
    if (name)
        if (auto ok = check_name(*name); !ok) return ok.error();
    const ReadTransaction snapshot(db);  // R2
    const auto row = read_domain(db, domain.id);
    if (!row || row->state == DomainState::destroying || row->state == DomainState::destroyed)
        return Error(Errc::gone, domain.subject() + " was destroyed or is being destroyed (R8)");
    if (row->state == DomainState::creating)
        return Error(Errc::busy, row->subject() + " is being created",
                     "wait until it runs, or run 'xlstore recover'");
    if (!row->registration && read_traits(db, row->id).has_device_model()) {
        Error error = no_qemu_of(*row, current_boot_id());
        error.advice += "; 'xlstore export' without --settled needs no QEMU";
        return error;
    }
    // A document that goes away with it would say there what is not known here.
    if (auto ok = check_nothing_under_way(db, *row); !ok) return ok.error();
    if (auto ok = check_readable(db, *row); !ok) return ok.error();

    OutgoingDocument outgoing;
    std::vector<DocumentThing> things;
    for (auto& thing : read_things(db, row->id)) {
        if (thing.state == "stale") continue;
        const DeviceClass* of = find_device_class(thing.name.device_class);
        if (of == nullptr || !of->in_document) continue;
        const auto position = static_cast<std::int64_t>(things.size());  // read in this order
        things.push_back(DocumentThing{thing.name.device_class, thing.name.key, position,
                                       std::move(thing.json), of->primary});
    }
    add_things(db, *row, outgoing);
    auto members = read_members(db, row->id);
    for (auto& member : members)
        if (name && member.key == "c_info" && member.text)
            member.text =
                with_libxl_member("c_info", *member.text, "name", json_quote(*name));
    outgoing.text = json_pretty(document_text(members, things), row->layout);
    return outgoing;
}

namespace {

Error bad_things(const std::string& what)
{
    return Error(Errc::invalid, "things: " + what,
                 "nothing was changed; give what 'xlstore export --settled --things' wrote with "
                 "this document");
}

// The text comes from another host, perhaps over a person's hands. The document is the one source
// of what it contains itself.
Result<void> check_carried(const CarriedThing& thing, const Document& document)
{
    const std::string name = thing.name.text();
    const DeviceClass* of = find_device_class(thing.name.device_class);
    if (of == nullptr) return bad_things(json_shown(name) + " is of no known class");
    if (of->in_document) {
        const bool there = std::any_of(
            document.things.begin(), document.things.end(), [&](const DocumentThing& other) {
                return other.device_class == thing.name.device_class &&
                       other.key == thing.name.key && other.primary == Primary::qemu;
            });
        if (!there || !thing.json.empty())
            return bad_things(json_shown(name) +
                              (there ? " is in the document, and may not say what it is"
                                     : " is not in the document as a thing of QEMU"));
        return {};
    }
    auto named = name_of_attach(thing.name.device_class, thing.json);
    if (!named) return bad_things(json_shown(name) + ": " + named.error().message);
    if (named->key != thing.name.key)
        return bad_things(json_shown(name) + " is spelled as " + json_shown(named->key));
    if (thing.name.device_class == "vcpus") return {};
    if (const auto draft = draft_attach(thing.name.device_class, thing.json); !draft)
        return bad_things(json_shown(name) + ": " + draft.error().message);
    return {};
}

Result<CarriedThing> carried_from(std::string_view element)
{
    const auto device_class = json_get_string(element, "class");
    const auto key = json_get_string(element, "key");
    if (!device_class || !key) return bad_things("one has no \"class\" or no \"key\"");
    const ThingName name{*device_class, *key};
    for (const auto& member : json_members(element))
        if (member.key != "class" && member.key != "key" && member.key != "thing" &&
            member.key != "address")
            return bad_things(json_shown(name.text()) + " has the unknown member " +
                              json_shown(member.key));
    CarriedThing thing{name, std::string(json_find(element, "thing").value_or("")),
                       std::string(json_find(element, "address").value_or(""))};
    if (!thing.address.empty())
        if (auto ok = check_addresses(thing.address); !ok)
            return bad_things(json_shown(name.text()) + ": " + ok.error().message);
    return thing;
}

}  // namespace

Result<std::vector<CarriedThing>> carried_things(std::string_view text, const Document& document)
{
    const auto minified = json_minify(text, "things");
    if (!minified) return minified.error();
    if (json_get_string(*minified, "format") != kFormat)
        return bad_things("the format is not " + json_shown(kFormat));
    if (json_get_string(*minified, "uuid") != document.uuid)
        return bad_things("they are those of uuid " +
                          json_shown(json_get_string(*minified, "uuid").value_or("")) +
                          ", the document is that of " + document.uuid);
    const auto list = json_find(*minified, "things");
    if (!list || json_type(*list) != JsonType::array)
        return bad_things("there is no array of them");
    std::vector<CarriedThing> things;
    std::set<std::string> seen;
    for (const auto element : json_elements(*list)) {
        auto thing = carried_from(element);
        if (!thing) return std::move(thing).error();
        if (auto ok = check_carried(*thing, document); !ok) return std::move(ok).error();
        if (!seen.insert(thing->name.text()).second)
            return bad_things(json_shown(thing->name.text()) + " is there twice");
        things.push_back(*std::move(thing));
    }
    return things;
}

void insert_carried(Db& db, DomainId domain, const std::vector<CarriedThing>& things,
                    std::string_view entry_state)
{
    for (const auto& thing : things) {
        if (!thing.json.empty())
            db.prepare(
                  "INSERT INTO thing (domain, class, key, position, primary_at, state, json, "
                  "changed_us) VALUES (?1, ?2, ?3, (SELECT coalesce(max(position) + 1, 0) FROM "
                  "thing WHERE domain = ?1 AND class = ?2), 'qemu', ?4, ?5, ?6)")
                .bind(value_of(domain))
                .bind(thing.name.device_class)
                .bind(thing.name.key)
                .bind(entry_state)
                .bind(thing.json)
                .bind(now_us())
                .run();
        db.prepare(
              "UPDATE thing SET made = 1 + (SELECT max(made) FROM thing WHERE domain = ?1), "
              "address = ?2 WHERE domain = ?1 AND class = ?3 AND key = ?4")
            .bind(value_of(domain))
            .bind(thing.address.empty() ? std::nullopt : std::optional(thing.address))
            .bind(thing.name.device_class)
            .bind(thing.name.key)
            .run();
    }
}

}  // namespace xlstore
