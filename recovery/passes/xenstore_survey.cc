// SPDX-License-Identifier: MIT
//   1. Each device of xenstore's is given to the entry that is it; one without a number to an entry
//      of its class that is left.
//   2. A device with an entry: is it whole, is it leaving, has its script run; of a thing of
//      QEMU's, does its copy in xenstore say what QEMU showed.
//   3. A device without: it is adopted, or what is left of it is told.
//   4. An entry without a device is stale.
//   PCI devices of a domain without a device model, and USB ports, are lists of their own; so are
//   the notes of the PCI devices that libxl counts as given away.
#include "recovery/passes/xenstore_survey.hpp"

#include <algorithm>

#include "store/classes/class_plan.hpp"
#include "store/model/device_class.hpp"
#include "store/text/json_text.hpp"
#include "store/xenstore/pci_list.hpp"
#include "store/xenstore/xen_device.hpp"

namespace xlstore::recovery {

namespace {

using xenstore::Tree;
using xenstore::XenDevice;
using Then = XenstoreFinding::Then;

// The states of xenbus.
constexpr std::string_view kConnected = "4";
constexpr std::string_view kClosing = "5";
constexpr std::string_view kClosed = "6";

std::string_view node(const Tree& tree, const std::string& path)
{
    return tree.value(path).value_or("");
}

// Behind the prefix that names the format; whole where there is none.
std::string_view image_in(std::string_view params)
{
    const auto colon = params.find(':');
    return params.empty() || params.front() == '/' || colon == std::string_view::npos
               ? params
               : params.substr(colon + 1);
}

class Comparison {
public:
    Comparison(const XenstoreSurvey& survey, const Tree& tree)
        : survey_(survey), tree_(tree), devices_(xenstore::xen_devices(tree, survey.domid))
    {
        claims_.resize(devices_.size(), nullptr);
        matched_.resize(survey.things.size(), false);
    }

    std::vector<XenstoreFinding> run()
    {
        match();
        for (std::size_t i = 0; i < devices_.size(); ++i)
            claims_[i] ? with_entry(devices_[i], *claims_[i]) : without_entry(devices_[i]);
        for (std::size_t i = 0; i < survey_.things.size(); ++i)
            if (!matched_[i]) without_device(survey_.things[i]);
        survey_.traits.has_device_model() ? passed_through() : pci_devices();
        pci_owners();
        usb_ports();
        return std::move(found_);
    }

private:
    // First by number, then what is left.
    void match()
    {
        for (const bool by_number : {true, false})
            for (std::size_t d = 0; d < devices_.size(); ++d)
                for (std::size_t t = 0; t < survey_.things.size() && !claims_[d]; ++t) {
                    const auto& thing = survey_.things[t];
                    if (matched_[t] || xenstore::is_of_domain(devices_[d], false)) continue;
                    const auto is = xenstore::is_thing(tree_, devices_[d], thing.name, thing.json);
                    if (by_number ? is != true : is.has_value()) continue;
                    claims_[d] = &thing;
                    matched_[t] = true;
                }
    }

    [[nodiscard]] bool is_open(const ThingRow& thing) const
    {
        return std::ranges::find(survey_.open, thing.id) != survey_.open.end();
    }
    // A detach from xenstore that has not come to its end: the device may be there.
    [[nodiscard]] static bool is_present(const ThingRow& thing)
    {
        return thing.state == "present" ||
               (thing.primary == "xenstore" && thing.state == "removing");
    }
    // What the passes before this one leave to this one.
    [[nodiscard]] bool is_settled(const ThingRow& thing) const
    {
        return !is_open(thing) && (is_present(thing) || thing.state == "stale");
    }

    XenstoreFinding& add(Code code, std::string subject, std::string evidence)
    {
        found_.push_back(XenstoreFinding{code, std::move(subject), std::move(evidence)});
        return found_.back();
    }

    // All of it goes: what the toolstack's own domain has of it. A driver domain takes its own
    // away.
    [[nodiscard]] std::vector<NodeChange> without(const XenDevice& device) const
    {
        std::vector<NodeChange> nodes;
        if (device.has_backend && device.backend_domid == 0) nodes.push_back({device.backend, {}});
        if (device.has_frontend) nodes.push_back({device.frontend, {}});
        if (device.has_libxl_node) nodes.push_back({device.libxl_node, {}});
        return nodes;
    }

    // It is not whole, or is on its way out. False: it is neither.
    bool unwhole(const XenDevice& device, const ThingRow* entry)
    {
        const std::string subject = entry ? entry->name.text() : device.name();
        const auto state = node(tree_, device.backend + "/state");
        const auto goes = [&](XenstoreFinding& finding) {
            finding.nodes = without(device);
            finding.script = script_of(device);
            finding.script_action = ScriptAction::remove;
            // QEMU has a part of it, and goes on.
            if (entry && entry->primary == "qemu") finding.can_be_fixed = false;
            if (!entry || !is_present(*entry) || entry->primary == "qemu") return;
            finding.name = entry->name;
            finding.then = Then::stale;
        };
        if (!device.flaw.empty()) {
            add(Code::device_strange, subject, device.flaw).can_be_fixed = false;
            return true;
        }
        if (device.has_backend && node(tree_, device.backend + "/online") == "0") {
            const bool over = state == kClosed || state.empty();
            auto& finding =
                add(over ? Code::device_leaving : Code::device_waits, subject,
                    device.backend + " is offline, in state " + std::string(state.substr(0, 4)));
            finding.can_be_fixed = over;
            goes(finding);
            return true;
        }
        if (device.whole()) return false;
        std::string missing;
        const auto lacks = [&](bool has, const std::string& path) {
            if (!has) missing += (missing.empty() ? "there is no " : ", no ") + path;
        };
        lacks(device.has_libxl_node, device.libxl_node);
        lacks(device.has_frontend, device.frontend);
        lacks(device.has_backend, device.backend.empty() ? "back end" : device.backend);
        auto& finding = add(Code::device_partial, subject, missing);
        // A back end that serves a guest is not taken from it.
        finding.can_be_fixed = state != kConnected;
        if (!finding.can_be_fixed) finding.evidence += "; its back end is connected";
        goes(finding);
        return true;
    }

    void with_entry(const XenDevice& device, const ThingRow& entry)
    {
        if (!is_settled(entry)) return;
        const bool in_qemu = entry.primary == "qemu";
        if (in_qemu && !survey_.qemu_was_seen) return;
        if (device.of_device_model) {
            if (in_qemu) libxl_node_of_controller(device, entry);
            return;
        }
        if (unwhole(device, &entry)) return;
        if (in_qemu) {
            if (device.kind->front == "vbd") medium(device, entry);
            return;
        }
        if (entry.state != "present") {
            still_there(entry, "there is " + device.libxl_node);
            return;
        }
        other_medium(device, entry);
        script(device, entry);
    }

    // Xenstore has it, and its entry is stale; or it was to be removed, by a process that died
    // before xenstore was asked.
    void still_there(const ThingRow& entry, std::string evidence)
    {
        auto& finding = add(entry.state == "stale" ? Code::device_back : Code::device_kept,
                            entry.name.text(), std::move(evidence));
        finding.name = entry.name;
        finding.then = Then::present;
    }

    // Of a CD drive that is xenstore's: its back end says what is in it.
    void other_medium(const XenDevice& device, const ThingRow& entry)
    {
        if (device.kind->front != "vbd" ||
            json_get_integer(entry.json, "is_cdrom").value_or(0) == 0)
            return;
        const auto path = json_get_string(entry.json, "pdev_path").value_or("");
        const auto params = node(tree_, device.backend + "/params");
        const auto image = image_in(params);
        if (image == path) return;
        if (!xenstore::text_of(params)) {
            add(Code::device_strange, entry.name.text(),
                device.backend + "/params is no text: " + json_shown(params.substr(0, 200)))
                .can_be_fixed = false;
            return;
        }
        auto& finding = add(Code::medium_other, entry.name.text(),
                            "its entry names " + (path.empty() ? "nothing" : json_shown(path)) +
                                ", " + device.backend + "/params is " +
                                json_shown(params.substr(0, 200)));
        const auto prefix = params.substr(0, params.size() - image.size());
        const std::string format =
            image.empty() ? "empty"
            : prefix.empty() || prefix == "aio:" ? "raw"
                                                 : std::string(prefix.substr(0, prefix.size() - 1));
        finding.name = entry.name;
        finding.then = Then::adopt;
        finding.json = with_medium(entry.json, image, format);
    }

    // Nothing: it has none, or it is not this program's to run.
    [[nodiscard]] std::optional<ScriptedDevice> script_of(const XenDevice& device) const
    {
        if (!survey_.runs_scripts || !device.has_libxl_node || !device.has_backend)
            return std::nullopt;
        return scripted_device(
            device.backend, [&](std::string_view key) -> std::optional<std::string> {
                const auto value = tree_.value(device.libxl_node + "/" + std::string(key));
                if (!value) return std::nullopt;
                return std::string(*value);
            });
    }

    // libxl runs it behind its transaction, and it leaves a word when it is through.
    void script(const XenDevice& device, const ThingRow& entry)
    {
        const auto name = node(tree_, device.libxl_node + "/script");
        if (name.empty() || !node(tree_, device.backend + "/hotplug-status").empty()) return;
        const bool has_one =
            device.kind->front == "vif" ||
            (device.kind->front == "vbd" && node(tree_, device.libxl_node + "/type") == "phy");
        if (!has_one) return;
        auto& finding = add(Code::device_unconnected, entry.name.text(),
                            json_shown(name.substr(0, 200)) + " has not come to its end: " +
                                device.backend + " has no hotplug-status");
        finding.script = script_of(device);
        const auto state = node(tree_, device.backend + "/state");
        finding.can_be_fixed =
            finding.script && (state == "2" || state == "3" || state == kConnected);
        if (finding.script && !finding.can_be_fixed)
            finding.evidence += ", and is in state " + json_shown(state.substr(0, 4)) +
                                ": no driver has set it up";
    }

    // libxl writes what is in a drive beside it, and reads it from there.
    void medium(const XenDevice& device, const ThingRow& entry)
    {
        const bool empty = entry.state == "stale";
        const auto path =
            empty ? std::string() : json_get_string(entry.json, "pdev_path").value_or("");
        const auto libxl_params = node(tree_, device.libxl_node + "/params");
        const auto backend = node(tree_, device.backend + "/params");
        if (image_in(libxl_params) == path && image_in(backend) == path) return;
        const auto format = json_get_string(entry.json, "format").value_or("raw");
        const std::string prefix = format == "raw" || format == "empty" ? "aio" : format;
        const std::string params = path.empty() ? "" : prefix + ":" + path;
        auto& finding = add(Code::copy_differs, entry.name.text(),
                            "the drive holds " + (path.empty() ? "nothing" : json_shown(path)) +
                                ", xenstore has " + json_shown(libxl_params.substr(0, 200)) +
                                " and " + json_shown(backend.substr(0, 200)));
        finding.nodes = {{device.backend + "/params", params},
                         {device.libxl_node + "/params", params}};
    }

    void libxl_node_of_controller(const XenDevice& device, const ThingRow& entry)
    {
        if (entry.state != "stale") return;
        auto& finding = add(Code::copy_differs, entry.name.text(),
                            "QEMU does not have it, and there is " + device.libxl_node);
        finding.nodes = {{device.libxl_node, {}}};
    }

    void without_entry(const XenDevice& device)
    {
        if (xenstore::is_of_domain(device, survey_.traits.has_device_model())) return;
        if (device.of_device_model) {
            if (!survey_.qemu_was_seen || !survey_.traits.has_device_model()) return;
            auto& finding = add(Code::copy_differs, device.name(),
                                "QEMU does not have it, and there is " + device.libxl_node);
            finding.nodes = {{device.libxl_node, {}}};
            return;
        }
        if (unwhole(device, nullptr)) return;
        adopt(device.name(), std::string(device.kind->device_class),
              xenstore::element_of(tree_, device));
    }

    void adopt(const std::string& subject, const std::string& device_class,
               const xenstore::XenElement& element)
    {
        if (element.json.empty()) {
            add(Code::device_strange, subject, element.flaw).can_be_fixed = false;
            return;
        }
        const auto* of = find_device_class(device_class);
        const auto primary = thing_primary(*of, element.json, survey_.traits);
        if (primary != Primary::xenstore) return;  // pass 5 asks QEMU of it, or it is nowhere
        auto& finding =
            add(Code::device_unknown, subject,
                "the entry would be " + device_class + " " + xenstore::shown_element(element.json));
        finding.then = Then::adopt;
        finding.name.device_class = device_class;
        finding.json = element.json;
    }

    void without_device(const ThingRow& entry)
    {
        if (!is_settled(entry)) return;
        if (entry.primary == "qemu") {
            if (survey_.qemu_was_seen) controller_without_libxl_node(entry);
            return;
        }
        if (entry.primary != "xenstore" || !is_present(entry)) return;
        if (entry.name.device_class == "usbdevs") {
            without_controller(entry);
            return;
        }
        const auto kind = std::ranges::find_if(xenstore::device_kinds(), [&](const auto& one) {
            return one.device_class == entry.name.device_class;
        });
        if (kind == xenstore::device_kinds().end()) return;
        const std::string directory =
            "/libxl/" + std::to_string(survey_.domid) + "/device/" + std::string(kind->front);
        const auto devid = xenstore::devid_of(entry.name, entry.json);
        const std::string libxl_node = devid ? directory + "/" + std::to_string(*devid) : "";
        // Two names of one disk: the other entry has it; there is no absence to be proved.
        const bool of_another = devid && tree_.contains(libxl_node);
        auto& finding = add(Code::device_absent, entry.name.text(),
                            of_another ? libxl_node + " is that of another entry"
                            : devid    ? "there is no " + libxl_node
                                       : "there is no such one below " + directory);
        finding.then = Then::stale;
        finding.name = entry.name;
        if (!of_another) finding.absent = libxl_node;
    }

    // A port of a controller that is there is looked at with it.
    void without_controller(const ThingRow& entry)
    {
        const auto controller = json_get_integer(entry.json, "ctrl").value_or(-1);
        if (std::ranges::any_of(devices_, [&](const XenDevice& one) {
                return one.kind->front == "vusb" && one.devid == controller && one.has_libxl_node;
            }))
            return;
        const std::string libxl_node = "/libxl/" + std::to_string(survey_.domid) + "/device/vusb/" +
                                       std::to_string(controller);
        auto& finding = add(Code::device_absent, entry.name.text(), "there is no " + libxl_node);
        finding.then = Then::stale;
        finding.name = entry.name;
        if (controller >= 0) finding.absent = libxl_node;
    }

    // QEMU has it; libxl's list of controllers is this node.
    void controller_without_libxl_node(const ThingRow& entry)
    {
        if (entry.name.device_class != "usbctrls" || entry.state != "present") return;
        const auto devid = json_get_integer(entry.json, "devid");
        if (!devid || *devid < 0) return;
        const std::string libxl_node =
            "/libxl/" + std::to_string(survey_.domid) + "/device/vusb/" + std::to_string(*devid);
        auto nodes = libxl_nodes_of(entry.name, entry.json, survey_.domid, true, "");
        std::vector<const ThingRow*> unnamed;
        for (const auto& thing : survey_.things) {
            if (thing.name.device_class != "usbdevs" || thing.state != "present" ||
                json_get_integer(thing.json, "ctrl") != devid)
                continue;
            const std::string port =
                std::to_string(json_get_integer(thing.json, "port").value_or(0));
            const auto at =
                std::ranges::find(nodes, libxl_node + "/port/" + port, &NodeChange::path);
            const auto name = usb_name_of(thing);
            if (name && at != nodes.end())
                at->value = *name;
            else
                unnamed.push_back(&thing);
        }
        add(Code::copy_differs, entry.name.text(), "QEMU has it, and there is no " + libxl_node)
            .nodes = std::move(nodes);
        for (const auto* thing : unnamed)
            unnamed_device(*thing, libxl_node, json_get_integer(thing->json, "port").value_or(0));
    }

    // What to write of it is not known.
    void unnamed_device(const ThingRow& thing, const std::string& libxl_node, std::int64_t port)
    {
        if (!is_settled(thing) || thing.primary != "qemu" || usb_name_of(thing)) return;
        add(Code::copy_differs, thing.name.text(),
            "QEMU has it, and " + libxl_node + "/port/" + std::to_string(port) +
                " is free; the host has no such device, so that what to write there is not known")
            .can_be_fixed = false;
    }

    [[nodiscard]] const ThingRow* usb_device(std::int64_t controller, std::int64_t port) const
    {
        const std::string key = std::to_string(controller) + "." + std::to_string(port);
        const auto found = std::ranges::find_if(survey_.things, [&](const ThingRow& thing) {
            return thing.name.device_class == "usbdevs" && thing.name.key == key;
        });
        return found == survey_.things.end() ? nullptr : &*found;
    }

    // As the host calls the one that QEMU has there.
    [[nodiscard]] std::optional<std::string> usb_name_of(const ThingRow& thing) const
    {
        const auto host = json_find(thing.json, "type.hostdev");
        if (!host) return std::nullopt;
        if (auto port = json_get_string(*host, "busid")) return port;
        if (!survey_.usb_name) return std::nullopt;
        return survey_.usb_name(json_get_integer(*host, "hostbus").value_or(0),
                                json_get_integer(*host, "hostaddr").value_or(0));
    }
    // A key of the controller's is all that xenstore has of a USB device.
    void usb_ports()
    {
        for (std::size_t i = 0; i < devices_.size(); ++i) {
            const auto& controller = devices_[i];
            if (controller.kind->front != "vusb" || !controller.whole()) continue;
            const auto used = xenstore::used_ports(tree_, controller);
            const std::string ports =
                (controller.has_backend ? controller.backend : controller.libxl_node) + "/port/";
            for (const auto& [port, name] : used) {
                const auto* thing = usb_device(controller.devid, port);
                if (thing && !is_settled(*thing)) continue;
                used_port(controller, ports + std::to_string(port), port, name, thing);
            }
            for (const auto& thing : survey_.things)
                if (thing.name.device_class == "usbdevs" &&
                    json_get_integer(thing.json, "ctrl") == controller.devid)
                    free_port(controller, ports, used, thing);
        }
    }

    void used_port(const XenDevice& controller, const std::string& path, std::int32_t port,
                   const std::string& name, const ThingRow* thing)
    {
        const std::string subject =
            "usbdevs/" + std::to_string(controller.devid) + "." + std::to_string(port);
        const bool in_qemu = controller.of_device_model;
        if (in_qemu) {
            if (!survey_.qemu_was_seen || (thing && thing->state == "present")) return;
            auto& finding = add(Code::copy_differs, subject,
                                "QEMU does not have it, and " + path + " is " + json_shown(name));
            finding.nodes = {{path, ""}};
        } else if (!thing) {
            plugged_in(controller, path, port, name);
        } else if (thing->state != "present") {
            still_there(*thing, path + " is " + json_shown(name));
        }
    }

    // libxl keeps bus and address: they are those of what the host has at that name now.
    void plugged_in(const XenDevice& controller, const std::string& path, std::int32_t port,
                    const std::string& name)
    {
        const std::string subject =
            "usbdevs/" + std::to_string(controller.devid) + "." + std::to_string(port);
        const auto at = survey_.usb_at ? survey_.usb_at(name) : std::nullopt;
        if (!at) {
            add(Code::device_strange, subject,
                path + " is " + json_shown(name) +
                    ", and the host has no such device that tells bus and address")
                .can_be_fixed = false;
            return;
        }
        const std::string json =
            "{\"ctrl\":" + std::to_string(controller.devid) + ",\"port\":" + std::to_string(port) +
            ",\"type.hostdev\":{\"hostbus\":" + std::to_string(at->first) +
            ",\"hostaddr\":" + std::to_string(at->second) + "}}";
        adopt(subject, "usbdevs", {json, {}});
    }

    void free_port(const XenDevice& controller, const std::string& ports,
                   const std::vector<std::pair<std::int32_t, std::string>>& used,
                   const ThingRow& thing)
    {
        const auto port = json_get_integer(thing.json, "port").value_or(0);
        if (!is_settled(thing) || !is_present(thing) || port <= 0) return;
        if (std::ranges::any_of(used, [&](const auto& one) { return one.first == port; })) return;
        const std::string path = ports + std::to_string(port);
        if (!controller.of_device_model) {
            auto& finding = add(Code::device_absent, thing.name.text(), path + " is free");
            finding.name = thing.name;
            finding.then = Then::stale;
            return;
        }
        if (!survey_.qemu_was_seen || thing.primary != "qemu") return;
        const auto name = usb_name_of(thing);
        if (!name) {
            unnamed_device(thing, controller.libxl_node, port);
            return;
        }
        auto& finding =
            add(Code::copy_differs, thing.name.text(), "QEMU has it, and " + path + " is free");
        finding.nodes = {{path, *name}};
    }

    // libxl's list of what it passed through to a guest with a device model is written last, and
    // read by libxl alone. What QEMU has is put into it, so that libxl can detach it. What QEMU has
    // not goes from it only together with the hypervisor's part: libxl would not find it any more.
    void passed_through()
    {
        if (!survey_.qemu_was_seen) return;
        const std::string list = xenstore::pci_list_path(survey_.domid);
        const auto listed = xenstore::xen_pci_devices(tree_, survey_.domid);
        for (const auto& thing : survey_.things) {
            const auto address =
                thing.name.device_class == "pcidevs" ? pci_address_of(thing.json) : std::nullopt;
            if (!address || !is_settled(thing)) continue;
            const bool is_listed = std::ranges::find(listed, thing.name.key,
                                                     &xenstore::XenPciDevice::key) != listed.end();
            if (is_listed == (thing.state == "present")) continue;
            auto& finding = add(
                Code::copy_differs, thing.name.text(),
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

    // An entry that has a name in place of an address may be any device.
    [[nodiscard]] bool is_known(const std::string& pci_key) const
    {
        return std::ranges::any_of(survey_.things, [&](const ThingRow& thing) {
            return thing.name.device_class == "pcidevs" &&
                   (thing.name.key == pci_key || thing.name.key.starts_with('#'));
        });
    }

    // Its detach was settled by what QEMU showed, and the hypervisor's part is left.
    void listed_alone(const xenstore::XenPciDevice& device)
    {
        auto& finding =
            add(Code::copy_differs, "pci/" + device.key,
                "QEMU does not have it, nor does an entry, and it is in " + device.list +
                    "; its detach was not finished: 'xl pci-detach -f' ends it");
        finding.json = device.json;
        finding.pci = pci_address_from(device.key);
        finding.pci_leaves = true;
        finding.can_be_fixed = survey_.has_pci_hook && finding.pci;
    }

    // Whether its back end was asked to let go of it stands beside it in the list, whether it has
    // done so, in the list's state.
    void listed_pci(const ThingRow& thing, const xenstore::XenPciDevice& device)
    {
        const std::string path = device.list + "/state-" + device.number;
        const auto state = node(tree_, path);
        if (thing.state != "removing" || (state != kClosing && state != kClosed)) {
            still_there(thing, "it is in " + device.list);
            return;
        }
        const bool let_go = node(tree_, device.list + "/state") == kConnected;
        auto& finding = add(let_go ? Code::device_leaving : Code::device_waits, thing.name.text(),
                            path + " is " + std::string(state));
        finding.can_be_fixed = let_go && survey_.has_pci_hook;
        leaves_pci(finding, thing);
    }

    // Its entry becomes stale; what a client may have had assigned goes back to the host.
    void leaves_pci(XenstoreFinding& finding, const ThingRow& thing)
    {
        finding.name = thing.name;
        finding.then = Then::stale;
        if (!survey_.has_pci_hook) return;
        finding.json = thing.json;
        finding.pci = pci_address_of(thing.json);
        finding.pci_leaves = true;
    }

    void pci_devices()
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
                std::ranges::find(listed, thing.name.key, &xenstore::XenPciDevice::key) !=
                    listed.end())
                continue;
            auto& finding = add(
                Code::device_absent, thing.name.text(),
                "it is not in /local/domain/0/backend/pci/" + std::to_string(survey_.domid) + "/0");
            leaves_pci(finding, thing);
        }
    }

    // Written before anything else of a device that is given to a domain, and taken away last.
    // While it is there `xl pci-attach` refuses the device to each domain, this one too.
    void pci_owners()
    {
        const std::string root = "/libxl/pci";
        if (survey_.traits.has_device_model() && !survey_.qemu_was_seen) return;
        const auto listed = xenstore::xen_pci_devices(tree_, survey_.domid);
        for (const auto& name : tree_.children(root)) {
            const std::string path = root + "/" + name + "/domid";
            const auto address = pci_address_from_node(name);
            if (!address || node(tree_, path) != std::to_string(survey_.domid)) continue;
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

    const XenstoreSurvey& survey_;
    const Tree& tree_;
    std::vector<XenDevice> devices_;
    std::vector<const ThingRow*> claims_;  // one for each device
    std::vector<bool> matched_;            // of the things
    std::vector<XenstoreFinding> found_;
};

}  // namespace

std::vector<XenstoreFinding> compare(const XenstoreSurvey& survey, const xenstore::Tree& tree)
{
    return Comparison(survey, tree).run();
}

}  // namespace xlstore::recovery
