// SPDX-License-Identifier: MIT
#include "recovery/passes/pci_survey.hpp"

#include <algorithm>

namespace xlstore::recovery {

using Then = XenstoreFinding::Then;

void PciSurvey::run()
{
    survey_.traits.has_device_model() ? passed_through() : pci_devices();
    pci_owners();
}

void PciSurvey::passed_through()
{
    if (!survey_.qemu_was_seen) return;
    const std::string list = xenstore::pci_list_path(survey_.domid);
    const auto listed = xenstore::xen_pci_devices(tree_, survey_.domid);
    for (const auto& thing : survey_.things) {
        const auto address =
            thing.name.device_class == "pcidevs" ? pci_address_of(thing.json) : std::nullopt;
        if (!address || !is_settled(thing)) continue;
        const bool is_listed =
            std::ranges::find(listed, thing.name.key, &xenstore::XenPciDevice::key) != listed.end();
        if (is_listed == (thing.state == "present")) continue;
        auto& finding =
            add(Code::copy_differs, thing.name.text(),
                is_listed ? "QEMU does not have it, and it is in " + list +
                                "; its detach was not finished: 'xl pci-detach -f' ends it"
                          : "QEMU has it, and it is not in " + list +
                                "; whether the hypervisor has assigned it is not known");
        finding.name = thing.name;
        finding.json = thing.json;
        finding.pci = address;
        finding.pci_leaves = is_listed;
        finding.can_be_fixed = !is_listed || survey_.has_pci_hook;
    }
    for (const auto& device : listed)
        if (!is_known(device.key)) listed_alone(device);
}

bool PciSurvey::is_known(const std::string& pci_key) const
{
    return std::ranges::any_of(survey_.things, [&](const ThingRow& thing) {
        return thing.name.device_class == "pcidevs" &&
               (thing.name.key == pci_key || thing.name.key.starts_with('#'));
    });
}

void PciSurvey::listed_alone(const xenstore::XenPciDevice& device)
{
    auto& finding = add(Code::copy_differs, "pci/" + device.key,
                        "QEMU does not have it, nor does an entry, and it is in " + device.list +
                            "; its detach was not finished: 'xl pci-detach -f' ends it");
    finding.json = device.json;
    finding.pci = pci_address_from(device.key);
    finding.pci_leaves = true;
    finding.can_be_fixed = survey_.has_pci_hook && finding.pci;
}

void PciSurvey::listed_pci(const ThingRow& thing, const xenstore::XenPciDevice& device)
{
    const std::string path = device.list + "/state-" + device.number;
    const auto state = node(path);
    if (thing.state != "removing" || (state != kClosing && state != kClosed)) {
        still_there(thing, "it is in " + device.list);
        return;
    }
    const bool let_go = node(device.list + "/state") == kConnected;
    auto& finding = add(let_go ? Code::device_leaving : Code::device_waits, thing.name.text(),
                        path + " is " + std::string(state));
    finding.can_be_fixed = let_go && survey_.has_pci_hook;
    leaves_pci(finding, thing);
}

void PciSurvey::leaves_pci(XenstoreFinding& finding, const ThingRow& thing) const
{
    finding.name = thing.name;
    finding.then = Then::stale;
    if (!survey_.has_pci_hook) return;
    finding.json = thing.json;
    finding.pci = pci_address_of(thing.json);
    finding.pci_leaves = true;
}

void PciSurvey::pci_devices()
{
    const auto listed = xenstore::xen_pci_devices(tree_, survey_.domid);
    for (const auto& device : listed) {
        const auto thing = std::ranges::find_if(survey_.things, [&](const ThingRow& one) {
            return one.name.device_class == "pcidevs" && one.name.key == device.key;
        });
        if (thing == survey_.things.end()) {
            adopt("pci/" + device.key, "pcidevs", {device.json, {}});
        } else if (is_settled(*thing) && thing->state != "present") {
            listed_pci(*thing, device);
        }
    }
    for (const auto& thing : survey_.things) {
        if (thing.name.device_class != "pcidevs" || !is_settled(thing) || !is_present(thing) ||
            thing.name.key.starts_with('#') ||
            std::ranges::find(listed, thing.name.key, &xenstore::XenPciDevice::key) != listed.end())
            continue;
        auto& finding =
            add(Code::device_absent, thing.name.text(),
                "it is not in /local/domain/0/backend/pci/" + std::to_string(survey_.domid) + "/0");
        leaves_pci(finding, thing);
    }
}

void PciSurvey::pci_owners()
{
    const std::string root = "/libxl/pci";
    if (survey_.traits.has_device_model() && !survey_.qemu_was_seen) return;
    const auto listed = xenstore::xen_pci_devices(tree_, survey_.domid);
    for (const auto& name : tree_.children(root)) {
        const std::string path = root + "/" + name + "/domid";
        const auto address = pci_address_from_node(name);
        if (!address || node(path) != std::to_string(survey_.domid)) continue;
        const auto key = address->text();
        const auto has_it = [&](const ThingRow& thing) {
            return thing.name.device_class == "pcidevs" &&
                   (thing.name.key == key || thing.name.key.starts_with('#')) &&
                   (thing.state != "stale" || is_open(thing));
        };
        if (std::ranges::any_of(survey_.things, has_it) ||
            std::ranges::find(listed, key, &xenstore::XenPciDevice::key) != listed.end())
            continue;
        auto& finding = add(Code::pci_owner_left, "pci/" + key, "there is " + path);
        finding.nodes.push_back({path, {}});
    }
}

}  // namespace xlstore::recovery
