// SPDX-License-Identifier: MIT
#include "recovery/passes/usb_survey.hpp"

#include <algorithm>

#include "store/text/json_text.hpp"

namespace xlstore::recovery {

using xenstore::XenDevice;
using Then = XenstoreFinding::Then;

void UsbSurvey::without_controller(const ThingRow& entry)
{
    const auto controller = json_get_integer(entry.json, "ctrl").value_or(-1);
    if (std::ranges::any_of(devices_, [&](const XenDevice& one) {
            return one.kind->front == "vusb" && one.devid == controller && one.has_libxl_node;
        }))
        return;
    const std::string libxl_node =
        "/libxl/" + std::to_string(survey_.domid) + "/device/vusb/" + std::to_string(controller);
    auto& finding = add(Code::device_absent, entry.name.text(), "there is no " + libxl_node);
    finding.then = Then::stale;
    finding.name = entry.name;
    if (controller >= 0) finding.absent = libxl_node;
}

void UsbSurvey::controller_without_libxl_node(const ThingRow& entry)
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
        const std::string port = std::to_string(json_get_integer(thing.json, "port").value_or(0));
        const auto at = std::ranges::find(nodes, libxl_node + "/port/" + port, &NodeChange::path);
        const auto name = usb_name_of(thing);
        if (name && at != nodes.end())
            at->value = *name;
        else
            unnamed.push_back(&thing);
    }
    add(Code::copy_differs, entry.name.text(), "QEMU has it, and there is no " + libxl_node).nodes =
        std::move(nodes);
    for (const auto* thing : unnamed)
        unnamed_device(*thing, libxl_node, json_get_integer(thing->json, "port").value_or(0));
}

void UsbSurvey::unnamed_device(const ThingRow& thing, const std::string& libxl_node,
                               std::int64_t port)
{
    if (!is_settled(thing) || thing.primary != "qemu" || usb_name_of(thing)) return;
    add(Code::copy_differs, thing.name.text(),
        "QEMU has it, and " + libxl_node + "/port/" + std::to_string(port) +
            " is free; the host has no such device, so that what to write there is not known")
        .can_be_fixed = false;
}

const ThingRow* UsbSurvey::usb_device(std::int64_t controller, std::int64_t port) const
{
    const std::string key = std::to_string(controller) + "." + std::to_string(port);
    const auto found = std::ranges::find_if(survey_.things, [&](const ThingRow& thing) {
        return thing.name.device_class == "usbdevs" && thing.name.key == key;
    });
    return found == survey_.things.end() ? nullptr : &*found;
}

std::optional<std::string> UsbSurvey::usb_name_of(const ThingRow& thing) const
{
    const auto host = json_find(thing.json, "type.hostdev");
    if (!host) return std::nullopt;
    if (auto port = json_get_string(*host, "busid")) return port;
    if (!survey_.usb_name) return std::nullopt;
    return survey_.usb_name(json_get_integer(*host, "hostbus").value_or(0),
                            json_get_integer(*host, "hostaddr").value_or(0));
}

void UsbSurvey::run()
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

void UsbSurvey::used_port(const XenDevice& controller, const std::string& path, std::int32_t port,
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

void UsbSurvey::plugged_in(const XenDevice& controller, const std::string& path, std::int32_t port,
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
    const std::string json = "{\"ctrl\":" + std::to_string(controller.devid) +
                             ",\"port\":" + std::to_string(port) +
                             ",\"type.hostdev\":{\"hostbus\":" + std::to_string(at->first) +
                             ",\"hostaddr\":" + std::to_string(at->second) + "}}";
    adopt(subject, "usbdevs", {json, {}});
}

void UsbSurvey::free_port(const XenDevice& controller, const std::string& ports,
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

}  // namespace xlstore::recovery
