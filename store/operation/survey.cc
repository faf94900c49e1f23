// SPDX-License-Identifier: MIT
// Surveyor takes the inventory and goes through it twice: every entry of QEMU's against what is
// there (present, partial, absent, another medium), then everything that is there against entries,
// open intents and initial devices. What is left over and is not one of the kinds that the header
// names is unmanaged, and becomes a proposal (store/qmp/proposal.hpp).
#include "store/operation/survey.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "store/classes/class_plan.hpp"
#include "store/classes/class_rebuild.hpp"
#include "store/classes/device_model.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/product.hpp"
#include "store/model/device_class.hpp"
#include "store/model/pci_address.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

using Id = std::pair<std::string, std::string>;  // kind and name

Id id_of(const Product& product)
{
    return {product.kind, product.name};
}

std::string names_of(const std::vector<Product>& products)
{
    std::string text;
    for (const auto& product : products)
        text += (text.empty() ? "" : ", ") + product.kind + " " + json_shown(product.name);
    return text;
}

class Surveyor {
public:
    Surveyor(Db& db, DomainId domain, const InitialDevices& initial, const Inventory& there)
        : db_(db),
          domain_(domain),
          traits_(read_traits(db, domain)),
          initial_(initial),
          there_(there)
    {}

    void read_entries()
    {
        for (auto& row : read_things(db_, domain_)) {
            if (row.primary != "qemu") continue;
            SurveyedEntry entry;
            entry.open = open_intent_of(db_, domain_, row.name).has_value();
            auto made = made_of(db_, domain_, row);
            for (const auto& product : made.of_others)
                known_.insert(id_of(product));
            entry.products = std::move(made.products);
            entry.of_others = std::move(made.of_others);
            entry.row = std::move(row);
            survey_.entries.push_back(std::move(entry));
        }
        // A name that no row claims, and two entries could have, is that of the one that counts as
        // present.
        std::set<Id> claimed;
        for (const bool stale : {false, true})
            for (auto& entry : survey_.entries)
                if ((entry.row.state == "stale") == stale) judge(entry, claimed);
        for (const auto id : open_intents(db_, domain_))
            if (const auto intent = read_intent(db_, id))
                for (const auto& product : intent->draft.plan.probe.products)
                    known_.insert(id_of(product));
    }

    [[nodiscard]] std::vector<Product> unmanaged() const
    {
        std::vector<Product> found;
        for (const auto& [kind, names] : there_.names)
            for (const auto& [name, type] : names)
                if (!initial_.has(kind, name) && !known_.contains({kind, name}) &&
                    !name.starts_with('#') && !is_of_device_model(kind, name, type))
                    found.push_back(with_undo(Product{kind, name, std::nullopt}));
        return found;
    }

    // There is such an entry, or it would be that of a thing which is not QEMU's in this domain.
    [[nodiscard]] bool is_taken(const ThingName& name) const
    {
        const auto* of = find_device_class(name.device_class);
        if (of != nullptr && of->key != KeyRule::given &&
            thing_primary(*of, element_of_key(*of, name.key, true), traits_) != Primary::qemu)
            return true;
        return read_thing(db_, domain_, name).has_value();
    }

    void check_drives()
    {
        std::set<std::string> listed;
        for (const auto& drive : there_.drives.drives) {
            listed.insert(drive.id);
            const auto* entry = entry_of(drive.id);
            if (entry)
                survey_.drives.push_back(held_against(*entry, drive));
            else if (auto bare = drive.removable ? bare_entry_of(drive) : std::nullopt)
                survey_.drives.push_back(held_by_bare(*std::move(bare), drive));
            else if (auto unnamed = without_entry(drive))
                survey_.drives.push_back(*std::move(unnamed));
        }
        for (const auto& entry : survey_.entries) {
            const auto id = drive_of(entry.row);
            if (!id || listed.contains(*id)) continue;
            SurveyedDrive missing;
            missing.id = *id;
            missing.entry = entry.row;
            missing.open = entry.open;
            missing.holds = SurveyedDrive::Holds::no_drive;
            missing.what = entry.row.name.text();
            missing.evidence = "QEMU has no drive " + json_shown(*id);
            survey_.drives.push_back(std::move(missing));
        }
    }

    Survey survey_;

private:
    // libxl's id of a PCI device is that of another segment's, too; QEMU says which it is.
    [[nodiscard]] bool is_of_another_segment(const ThingRow& row, const Product& product) const
    {
        if (row.name.device_class != "pcidevs" || row.name.key.starts_with('#')) return false;
        const auto host = there_.host_pci.find(product.name);
        if (product.kind != "device" || host == there_.host_pci.end()) return false;
        const auto address = pci_address_from(host->second);
        return address && address->text() != row.name.key;
    }

    // Which of its products are there.
    void judge(SurveyedEntry& entry, std::set<Id>& claimed)
    {
        std::vector<Product> has;
        std::vector<Product> has_not = entry.of_others;
        std::erase_if(entry.products, [&](const Product& product) {
            if (is_of_another_segment(entry.row, product)) {
                entry.of_others.push_back(product);
                has_not.push_back(product);
                return true;
            }
            known_.insert(id_of(product));
            if (is_fdset(product)) return false;
            const bool is_there = there_.has(product.kind, product.name);
            // The n-th device without id is another one in another QEMU.
            const bool initial =
                product.kind == kAnonymousKind && initial_.has(product.kind, product.name);
            const bool of_another = is_there && !claimed.insert(id_of(product)).second;
            (is_there && !of_another && !initial ? has : has_not).push_back(product);
            return of_another;
        });
        std::erase_if(has_not, is_fdset);
        if (has.empty() && has_not.empty()) {
            entry.evidence = unasked(entry.row);
            return;
        }
        entry.shown = has_not.empty() ? SurveyedEntry::Shown::all
                      : has.empty()   ? SurveyedEntry::Shown::none
                                      : SurveyedEntry::Shown::part;
        if (!has.empty()) entry.evidence = "QEMU has " + names_of(has);
        if (!has_not.empty())
            entry.evidence += (has.empty() ? "QEMU has no " : ", but no ") + names_of(has_not);
        for (const auto& product : has_not)
            if (is_of_another_segment(entry.row, product))
                entry.evidence += " of this address: it is that of " +
                                  json_shown(there_.host_pci.find(product.name)->second);
    }

    // Why an entry without products is not held against QEMU; "": it is, in another way.
    [[nodiscard]] std::string unasked(const ThingRow& row) const
    {
        if (row.state == "stale" || drive_of(row)) return {};
        if (row.name.device_class == "disks") return "libxl knows no such vdev";
        if (row.name.device_class == "pcidevs")
            return "it is given by a name that xenstore alone knows";
        return "nothing of it has a name in QEMU yet";
    }

    [[nodiscard]] const SurveyedEntry* entry_of(const std::string& drive) const
    {
        const auto it =
            std::find_if(survey_.entries.begin(), survey_.entries.end(),
                         [&](const SurveyedEntry& e) { return drive_of(e.row) == drive; });
        return it == survey_.entries.end() ? nullptr : &*it;
    }

    [[nodiscard]] SurveyedDrive held_against(const SurveyedEntry& entry,
                                             const Drives::Drive& drive) const
    {
        using Holds = SurveyedDrive::Holds;
        SurveyedDrive found;
        found.id = drive.id;
        found.entry = entry.row;
        found.open = entry.open;
        found.what = entry.row.name.text();
        const auto named = medium_of(entry.row.json);
        if (!drive.file) {
            if (!named) return found;
            found.holds = Holds::nothing;
            found.seen = Rebuilt{entry.row.name, with_medium(entry.row.json, "", "empty")};
            found.evidence =
                "drive " + json_shown(drive.id) + " is empty, not " + json_shown(*named);
            return found;
        }
        found.evidence =
            "drive " + json_shown(drive.id) + " holds " + there_.drives.shown(*drive.file);
        if (named && there_.drives.holds(drive, *named)) return found;
        if (named) found.evidence += ", not " + json_shown(*named);
        if (const auto medium = split_medium(there_.drives.medium_in(drive)))
            found.seen =
                Rebuilt{entry.row.name, with_medium(entry.row.json, medium->path, medium->format)};
        found.holds = initial_.has_medium(drive) ? Holds::initial
                      : found.seen               ? Holds::other
                                                 : Holds::unnamable;
        return found;
    }

    // The entry of a drive of which a salvage found the key alone. That tells no disk from a CD
    // drive; a drive that QEMU has under its name does.
    [[nodiscard]] std::optional<ThingRow> bare_entry_of(const Drives::Drive& drive) const
    {
        const auto name = thing_of_drive(drive.id);
        auto row = name ? read_thing(db_, domain_, *name) : std::nullopt;
        if (!row || row->json != element_of_key(*find_device_class("disks"), name->key, false))
            return std::nullopt;
        return row;
    }

    [[nodiscard]] SurveyedDrive held_by_bare(ThingRow entry, const Drives::Drive& drive) const
    {
        using Holds = SurveyedDrive::Holds;
        SurveyedDrive found;
        found.id = drive.id;
        found.what = entry.name.text();
        found.open = open_intent_of(db_, domain_, entry.name).has_value();
        found.seen = drive.file ? rebuild_drive(drive.id, there_.drives.medium_in(drive))
                                : rebuild_empty_drive(entry.name);
        found.evidence = "drive " + json_shown(drive.id) +
                         (drive.file ? " holds " + there_.drives.shown(*drive.file) : " is empty") +
                         ", and its entry has its key alone";
        found.holds = found.seen ? Holds::other : Holds::unnamable;
        found.entry = std::move(entry);
        return found;
    }

    // Nothing to say: it is empty; it cannot be changed and came with its device; or it is part of
    // a device that is looked at on its own.
    [[nodiscard]] std::optional<SurveyedDrive> without_entry(const Drives::Drive& drive) const
    {
        using Holds = SurveyedDrive::Holds;
        if (!drive.file || !drive.removable || drive.id.starts_with('/')) return std::nullopt;
        const std::string device = drive.id.substr(0, drive.id.find('/'));
        if (there_.has("device", device) && !initial_.has("device", device)) return std::nullopt;
        SurveyedDrive found;
        found.id = drive.id;
        found.what = "drive " + json_shown(drive.id) + " with " + there_.drives.shown(*drive.file);
        found.evidence = "no entry of class disks has it";
        found.seen = rebuild_drive(drive.id, there_.drives.medium_in(drive));
        if (found.seen && is_taken(found.seen->name)) found.seen.reset();
        found.holds = initial_.has_medium(drive) ? Holds::initial
                      : found.seen               ? Holds::other
                                                 : Holds::unnamable;
        return found;
    }

    Db& db_;
    DomainId domain_;
    DomainTraits traits_;
    const InitialDevices& initial_;
    const Inventory& there_;
    std::set<Id> known_;
};

}  // namespace

Task<Result<Survey>> take_survey(Db& db, DomainId domain, const InitialDevices& initial,
                                 const Inventory& there, qmp::Monitor& monitor, Deadline until)
{
    Surveyor surveyor(db, domain, initial, there);
    surveyor.read_entries();
    const std::function<bool(const ThingName&)> taken = [&](const ThingName& name) {
        return surveyor.is_taken(name);
    };
    auto unknown = co_await propose(monitor, there, surveyor.unmanaged(), taken, until);
    if (!unknown) co_return std::move(unknown).error();
    surveyor.survey_.unknown = *std::move(unknown);
    surveyor.check_drives();
    co_return std::move(surveyor.survey_);
}

}  // namespace xlstore
