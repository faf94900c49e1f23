// SPDX-License-Identifier: MIT
// Each class is recognised by the id that libxl gives, and by the properties that its plan would
// have set: an id alone could be anything's. What differs in one of them is no thing of that class,
// and becomes one of class `qemu` (found_entry).
#include "store/classes/class_rebuild.hpp"

#include <algorithm>
#include <array>

#include "store/classes/libxl_defaults.hpp"
#include "store/model/pci_address.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kUsb = "xenusb-";

// A number without sign, as libxl writes one into an id.
std::optional<std::int64_t> plain_number(std::string_view text)
{
    const auto number = json_integer(text);
    return number && *number >= 0 ? number : std::nullopt;
}

std::optional<std::int64_t> number_after(std::string_view prefix, std::string_view text)
{
    return text.starts_with(prefix) ? plain_number(text.substr(prefix.size())) : std::nullopt;
}

std::optional<std::int64_t> integer_of(const SeenDevice& device, const char* property)
{
    const auto it = device.properties.find(property);
    return it == device.properties.end() ? std::nullopt : json_integer(it->second);
}

std::string text_of(const SeenDevice& device, const char* property)
{
    const auto it = device.properties.find(property);
    return it == device.properties.end() || json_type(it->second) != JsonType::string
               ? std::string()
               : json_decode_string(it->second);
}

std::optional<Rebuilt> usbctrl(const SeenDevice& device)
{
    const auto devid = number_after(kUsb, device.id);
    if (!devid) return std::nullopt;
    for (const int version : {1, 2, 3}) {
        if (device.driver != usbctrl_driver(version)) continue;
        const auto key = std::to_string(*devid);
        std::string json =
            R"({"type":"devicemodel","devid":)" + key + ",\"version\":" + std::to_string(version);
        // QEMU has no such property for the others: their number is fixed.
        const auto ports = integer_of(device, "p2");
        if (ports && ports == integer_of(device, "p3"))
            json += ",\"ports\":" + std::to_string(*ports);
        json += "}";
        const auto whole = version == 3 ? json : with_libxl_defaults("usbctrls", json);
        return Rebuilt{ThingName{"usbctrls", key}, whole ? *whole : json};
    }
    return std::nullopt;
}

std::optional<Rebuilt> usbdev(const SeenDevice& device)
{
    // "/machine/peripheral/xenusb-0/xenusb-0.0"
    const std::string bus = text_of(device, "parent_bus");
    const auto slash = bus.rfind('/');
    if (slash == std::string::npos || !bus.ends_with(".0")) return std::nullopt;
    const auto ctrl =
        number_after(kUsb, std::string_view(bus).substr(slash + 1, bus.size() - slash - 3));
    const auto port = plain_number(text_of(device, "port"));
    if (!ctrl || !port) return std::nullopt;
    const std::string place = std::to_string(*ctrl) + "-" + std::to_string(*port);
    std::string what;
    if (device.id == "xenusb-emulated-" + place) {
        what = R"("type.emulated":{"driver":)" + json_quote(device.driver) + "}";
    } else {
        const auto host_bus = integer_of(device, "hostbus");
        const auto address = integer_of(device, "hostaddr");
        if (device.driver != "usb-host" || !host_bus || !address ||
            device.id !=
                std::string(kUsb) + std::to_string(*host_bus) + "-" + std::to_string(*address))
            return std::nullopt;
        what = R"("type.hostdev":{"hostbus":)" + std::to_string(*host_bus) +
               ",\"hostaddr\":" + std::to_string(*address) + "}";
    }
    return Rebuilt{ThingName{"usbdevs", std::to_string(*ctrl) + "." + std::to_string(*port)},
                   "{\"ctrl\":" + std::to_string(*ctrl) + ",\"port\":" + std::to_string(*port) +
                       "," + what + "}"};
}

// As libxl keeps one that it hot-plugged. libxl's id has no PCI segment; QEMU's own word for the
// host's device has.
std::optional<Rebuilt> pcidev(const SeenDevice& device)
{
    if (device.driver != kPciPassthrough) return std::nullopt;
    const auto address = pci_address_from(text_of(device, "hostaddr"));
    if (!address || device.id != address->qemu_id()) return std::nullopt;
    std::string json = "{";
    for (const auto& [member, number] : {std::pair{"func", address->function},
                                         {"dev", address->device},
                                         {"bus", address->bus},
                                         {"domain", address->segment}})
        if (number != 0) json += json_quote(member) + ":" + std::to_string(number) + ",";
    if (const auto devfn = integer_of(device, "addr"); devfn && *devfn > 0)
        json += "\"vdevfn\":" + std::to_string(*devfn) + ",";
    json += "\"vfunc_mask\":1";
    const auto permissive = device.properties.find("permissive");
    if (permissive != device.properties.end() && permissive->second == "true")
        json += ",\"permissive\":true";
    return Rebuilt{ThingName{"pcidevs", address->text()}, json + R"(,"rdm_policy":"strict"})"};
}

std::optional<Rebuilt> vcpu(const SeenDevice& device, const std::vector<VcpuSlot>& slots)
{
    for (std::size_t index = 0; index < slots.size(); ++index) {
        const auto& path = slots[index].qom_path;
        if (!path || *path != "/machine/peripheral/" + device.id) continue;
        const auto key = std::to_string(index);
        return Rebuilt{ThingName{"vcpus", key},
                       vcpu_in_slot("{\"index\":" + key + "}", slots[index])};
    }
    return std::nullopt;
}

}  // namespace

std::optional<Rebuilt> rebuild_device(const SeenDevice& device, const std::vector<VcpuSlot>& slots)
{
    if (auto found = usbctrl(device)) return found;
    if (auto found = usbdev(device)) return found;
    if (auto found = pcidev(device)) return found;
    return vcpu(device, slots);
}

std::optional<Medium> split_medium(std::string_view medium)
{
    const auto colon = medium.find(':');
    if (colon == std::string_view::npos || colon == 0) return std::nullopt;
    const auto path = medium.substr(colon + 1);
    if (!path.starts_with('/')) return std::nullopt;
    return Medium{std::string(medium.substr(0, colon)), std::string(path)};
}

namespace {

Rebuilt cd_drive(ThingName name, std::string_view path, std::string_view format)
{
    std::string json = "{\"pdev_path\":" + json_quote(path) + ",\"vdev\":" + json_quote(name.key) +
                       ",\"format\":" + json_quote(format) + R"(,"removable":1,"is_cdrom":1})";
    return Rebuilt{std::move(name), std::move(json)};
}

}  // namespace

std::optional<ThingName> thing_of_drive(std::string_view drive)
{
    for (const char* vdev : {"hda", "hdb", "hdc", "hdd"}) {
        ThingRow entry;
        entry.name = ThingName{"disks", vdev};
        entry.json = R"({"is_cdrom":1})";
        if (drive_of(entry) == drive) return entry.name;
    }
    return std::nullopt;
}

std::optional<Rebuilt> rebuild_drive(std::string_view drive, std::string_view medium)
{
    const auto what = split_medium(medium);
    auto name = thing_of_drive(drive);
    if (!what || !name) return std::nullopt;
    return cd_drive(*std::move(name), what->path, what->format);
}

Rebuilt rebuild_empty_drive(ThingName name)
{
    return cd_drive(std::move(name), "", "empty");
}

std::string found_entry(std::string_view key, const std::vector<Product>& products)
{
    std::string probe;
    for (const auto& product : products)
        probe += (probe.empty() ? "" : ",") + ("{\"kind\":" + json_quote(product.kind)) +
                 ",\"name\":" + json_quote(product.name) + "}";
    return "{\"key\":" + json_quote(key) + ",\"steps\":[],\"probe\":[" + probe + "]}";
}

void order_by_kind(std::vector<Product>& products)
{
    constexpr std::array<std::string_view, 7> order = {"object", "fdset",  "node",     "chardev",
                                                       "netdev", "device", "anonymous"};
    std::stable_sort(products.begin(), products.end(), [&](const Product& a, const Product& b) {
        return std::find(order.begin(), order.end(), a.kind) <
               std::find(order.begin(), order.end(), b.kind);
    });
}

}  // namespace xlstore
