// SPDX-License-Identifier: MIT
#include "store/core/placing.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "store/core/domain.hpp"
#include "store/model/device_class.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

// An entry whose row says another place than the document does.
struct Move {
    ThingRow entry;
    const DeviceClass* of;
    Primary to;
};

std::vector<Move> moves_in(Db& db, DomainId domain, const DomainTraits& traits)
{
    std::vector<Move> moves;
    for (auto& entry : read_things(db, domain)) {
        const auto* of = find_device_class(entry.name.device_class);
        if (of == nullptr) continue;
        const auto to = thing_primary(*of, entry.json, traits);
        if (primary_name(to) != entry.primary) moves.push_back(Move{std::move(entry), of, to});
    }
    return moves;
}

void move(Db& db, const Move& one)
{
    db.prepare(
          "UPDATE thing SET primary_at = ?1 WHERE id = ?2 AND NOT EXISTS (SELECT 1 FROM intent "
          "WHERE thing = ?2)")
        .bind(primary_name(one.to))
        .bind(one.entry.id)
        .run();
}

// Its ports went with its controller, so that it is nowhere.
bool lost_its_controller(const ThingRow& entry, const DomainTraits& traits)
{
    const auto controller = json_get_integer(entry.json, "ctrl");
    return entry.name.device_class == "usbdevs" && controller &&
           !traits.is_of_device_model(*controller);
}

// May it be in the primary that its row says? No edit takes anything out of there.
bool may_be_there(const Move& one, const DomainTraits& traits, bool has_qemu)
{
    if (one.entry.state == "stale") return false;
    if (one.entry.primary == "qemu") return has_qemu;
    return one.entry.primary == "xenstore" && !lost_its_controller(one.entry, traits);
}

}  // namespace

void place_things(Db& db, DomainId domain)
{
    for (const auto& one : moves_in(db, domain, read_traits(db, domain)))
        move(db, one);
}

Result<void> follow_document(Db& db, DomainId domain, const DomainTraits& before)
{
    const auto traits = read_traits(db, domain);
    const auto row = read_domain(db, domain);
    for (const auto& one : moves_in(db, domain, traits)) {
        if (!may_be_there(one, traits, row->registration.has_value())) {
            move(db, one);
            continue;
        }
        // Where the row and the document differed before, this edit is not the cause.
        if (primary_name(thing_primary(*one.of, one.entry.json, before)) != one.entry.primary)
            continue;
        const bool in_qemu = one.entry.primary == "qemu";
        const std::string whose = in_qemu                   ? "xenstore's"
                                  : one.to == Primary::qemu ? "QEMU's"
                                                            : "the document's alone";
        return Error(Errc::refused,
                     row->subject() + ": " + one.entry.name.text() + " is in " +
                         (in_qemu ? "QEMU" : "xenstore") + ", and this edit would make it " +
                         whose + " (R1)",
                     "nothing was changed; leave the type of the domain and of its USB "
                     "controllers as it is, or detach " +
                         one.entry.name.text() + " first");
    }
    return {};
}

}  // namespace xlstore
