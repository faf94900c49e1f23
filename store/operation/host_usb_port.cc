// SPDX-License-Identifier: MIT
// A document may name a USB device by the host's port ("busid"). QEMU is told bus and address,
// which the device gets anew each time it is plugged in: they are looked up for each attach, and
// kept beside the port, so that it can be seen later whether it is still the same device.
#include "store/operation/host_usb_port.hpp"

#include <utility>
#include <vector>

#include "store/os/host_usb.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {
constexpr std::string_view kHostDevice = "type.hostdev";
constexpr std::string_view kPort = "busid";  // as libxl and xenstore call it
}  // namespace

std::optional<std::string> usb_port_named_by(std::string_view device_class, std::string_view json)
{
    if (device_class != "usbdevs") return std::nullopt;
    const auto host = json_find(json, kHostDevice);
    return host ? json_get_string(*host, kPort) : std::nullopt;
}

Result<std::string> with_usb_address(const std::string& sysfs, std::string_view device_class,
                                     std::string_view json)
{
    const auto port = usb_port_named_by(device_class, json);
    if (!port) return std::string(json);
    const auto found = find_usb_device(sysfs, *port);
    if (!found)
        return Error(found.error().code, "usbdevs: " + found.error().message,
                     found.error().advice);
    // In libxl's order, what it does not know behind it.
    std::vector<std::pair<std::string, std::string>> members = {
        {"hostbus", std::to_string(found->bus)}, {"hostaddr", std::to_string(found->address)}};
    for (const auto& member : json_members(*json_find(json, kHostDevice)))
        if (member.key != "hostbus" && member.key != "hostaddr")
            members.emplace_back(member.key, member.value);
    return json_with_member(json, kHostDevice, json_object(members));
}

std::optional<std::string> plugged_in_anew(const std::string& sysfs, std::string_view device_class,
                                           std::string_view json)
{
    const auto port = usb_port_named_by(device_class, json);
    if (!port || !is_usb_port(*port) || !shows_usb_devices(sysfs)) return std::nullopt;
    const auto host = json_find(json, kHostDevice);
    const HostUsb given{json_get_integer(*host, "hostbus").value_or(0),
                        json_get_integer(*host, "hostaddr").value_or(0)};
    const auto found = find_usb_device(sysfs, *port);
    if (found && *found == given) return std::nullopt;
    const auto shown = [](const HostUsb& usb) -> std::string {
        return std::to_string(usb.bus) + ":" + std::to_string(usb.address);
    };
    return "the host's USB port " + *port +
           (found ? " has device " + shown(*found) : std::string(" has no device")) +
           " now, and QEMU was given " + shown(given);
}

}  // namespace xlstore
