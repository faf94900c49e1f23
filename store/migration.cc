// SPDX-License-Identifier: MIT
#include "store/migration.hpp"

#include "store/document.hpp"
#include "store/json_text.hpp"

namespace xlstore {

Result<OutgoingDocument> outgoing_document(Db& db, const DomainRow& domain,
                                           const std::optional<std::string>& name)
{
    if (name)
        if (auto ok = check_name(*name); !ok) return ok.error();
    const ReadTransaction at_once(db);  // R2
    const auto row = read_domain(db, domain.id);
    if (!row || row->state == DomainState::destroying || row->state == DomainState::destroyed)
        return Error(Errc::gone, domain.subject() + " was destroyed or is being destroyed (R8)");
    if (row->state == DomainState::creating)
        return Error(Errc::busy, row->subject() + " is being created",
                     "wait until it runs, or run 'xlstore recover'");
    if (!row->registration)
        return Error(Errc::no_qemu, row->subject() + " has no QEMU, or it is dead");
    if (const auto open = open_intents(db, row->id); !open.empty()) {
        Error error(Errc::busy,
                    row->subject() + " has an open intent: what its thing is, is not known",
                    "'xlstore wait' for it, or run 'xlstore recover'");
        error.intent = value_of(open.front());
        return error;
    }

    OutgoingDocument outgoing;
    std::vector<DocumentThing> things;
    for (auto& thing : read_things(db, row->id)) {
        if (thing.state == "stale") continue;
        const DeviceClass* of = find_device_class(thing.name.device_class);
        if (of == nullptr || !of->in_document) {
            outgoing.notes.push_back(thing.name.text() + " is in no document: attach it there");
            continue;
        }
        const auto position = static_cast<std::int64_t>(things.size());  // read in this order
        const auto primary = thing_primary(*of, thing.json);
        things.push_back(DocumentThing{thing.name.device_class, thing.name.key, position,
                                       std::move(thing.json), primary});
    }
    auto members = read_members(db, row->id);
    for (auto& member : members)
        if (name && member.key == "c_info" && member.text)
            member.text = json_with_member(*member.text, "name", json_quote(*name));
    outgoing.text = json_pretty(document_text(members, things),
                                row->layout == "json-c" ? JsonLayout::json_c : JsonLayout::yajl);
    return outgoing;
}

}  // namespace xlstore
