// SPDX-License-Identifier: MIT
//   1. Each device of xenstore's is given to the entry that is it; one without a number to an entry
//      of its class that is left.
//   2. A device with an entry: is it whole, is it leaving, has its script run; of a thing of
//      QEMU's, does its copy in xenstore say what QEMU showed.
//   3. A device without: it is adopted, or what is left of it is told.
//   4. An entry without a device is stale.
//   PCI devices and USB ports are lines of lists: pci_survey, usb_survey.
#include "recovery/passes/xenstore_survey.hpp"

#include <algorithm>

#include "recovery/passes/pci_survey.hpp"
#include "recovery/passes/usb_survey.hpp"
#include "store/classes/class_plan.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

namespace {

using xenstore::XenDevice;
using Then = XenstoreFinding::Then;

// Behind the prefix that names the format; whole where there is none.
std::string_view image_in(std::string_view params)
{
    const auto colon = params.find(':');
    return params.empty() || params.front() == '/' || colon == std::string_view::npos
               ? params
               : params.substr(colon + 1);
}

class DeviceSurvey : SurveyPart {
public:
    DeviceSurvey(SurveySubject& subject, UsbSurvey& usb)
        : SurveyPart(subject),
          usb_(usb),
          claims_(devices_.size(), nullptr),
          matched_(survey_.things.size(), false)
    {}

    void run()
    {
        match();
        for (std::size_t i = 0; i < devices_.size(); ++i)
            claims_[i] ? with_entry(devices_[i], *claims_[i]) : without_entry(devices_[i]);
        for (std::size_t i = 0; i < survey_.things.size(); ++i)
            if (!matched_[i]) without_device(survey_.things[i]);
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
        const auto state = node(device.backend + "/state");
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
        if (device.has_backend && node(device.backend + "/online") == "0") {
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

    // Of a CD drive that is xenstore's: its back end says what is in it.
    void other_medium(const XenDevice& device, const ThingRow& entry)
    {
        if (device.kind->front != "vbd" ||
            json_get_integer(entry.json, "is_cdrom").value_or(0) == 0)
            return;
        const auto path = json_get_string(entry.json, "pdev_path").value_or("");
        const auto params = node(device.backend + "/params");
        const auto image = image_in(params);
        if (image == path) return;
        if (!xenstore::text_of(params)) {
            add(Code::device_strange, entry.name.text(),
                device.backend + "/params is no text: " + json_shown(params.substr(0, 200)))
                .can_be_fixed = false;
            return;
        }
        auto& finding =
            add(Code::medium_other, entry.name.text(),
                "its entry names " + (path.empty() ? "nothing" : json_shown(path)) + ", " +
                    device.backend + "/params is " + json_shown(params.substr(0, 200)));
        const auto prefix = params.substr(0, params.size() - image.size());
        const std::string format = image.empty() ? "empty"
                                   : prefix.empty() || prefix == "aio:"
                                       ? "raw"
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
        const auto name = node(device.libxl_node + "/script");
        if (name.empty() || !node(device.backend + "/hotplug-status").empty()) return;
        const bool has_one =
            device.kind->front == "vif" ||
            (device.kind->front == "vbd" && node(device.libxl_node + "/type") == "phy");
        if (!has_one) return;
        auto& finding =
            add(Code::device_unconnected, entry.name.text(),
                json_shown(name.substr(0, 200)) + " has not come to its end: " + device.backend +
                    " has no hotplug-status");
        finding.script = script_of(device);
        const auto state = node(device.backend + "/state");
        finding.can_be_fixed =
            finding.script && (state == "2" || state == "3" || state == kConnected);
        if (finding.script && !finding.can_be_fixed)
            finding.evidence +=
                ", and is in state " + json_shown(state.substr(0, 4)) + ": no driver has set it up";
    }

    // libxl writes what is in a drive beside it, and reads it from there.
    void medium(const XenDevice& device, const ThingRow& entry)
    {
        const bool empty = entry.state == "stale";
        const auto path =
            empty ? std::string() : json_get_string(entry.json, "pdev_path").value_or("");
        const auto libxl_params = node(device.libxl_node + "/params");
        const auto backend = node(device.backend + "/params");
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

    void without_device(const ThingRow& entry)
    {
        if (!is_settled(entry)) return;
        if (entry.primary == "qemu") {
            if (survey_.qemu_was_seen) usb_.controller_without_libxl_node(entry);
            return;
        }
        if (entry.primary != "xenstore" || !is_present(entry)) return;
        if (entry.name.device_class == "usbdevs") {
            usb_.without_controller(entry);
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

    UsbSurvey& usb_;
    std::vector<const ThingRow*> claims_;  // one for each device
    std::vector<bool> matched_;            // of the things
};

}  // namespace

std::vector<XenstoreFinding> compare(const XenstoreSurvey& survey, const xenstore::Tree& tree)
{
    SurveySubject subject{survey, tree, xenstore::xen_devices(tree, survey.domid)};
    UsbSurvey usb(subject);
    DeviceSurvey(subject, usb).run();
    PciSurvey(subject).run();
    usb.run();
    return std::move(subject.found);
}

}  // namespace xlstore::recovery
