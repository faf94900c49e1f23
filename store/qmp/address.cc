// SPDX-License-Identifier: MIT
// For each device of a plan: qom-get of its bus and of the property that tells its place on that
// bus, which is believed only if it has the type that a place has. Slot and function are spelled as
// device_add takes them. Missing answers cost nothing but the address: the device is put back where
// QEMU chooses then. Asked before the commit that says that the device is there, with a bound of
// its own.
#include "store/qmp/address.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "store/qmp/inventory.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

// A property by which a device tells its place, and the type that tells it from others of its name:
// "addr" is the function of a PCI device, but the physical address of a memory module; "port" is
// where a USB device was asked to be, but a number of a PCIe port's. The argument has its name.
struct Placing {
    std::string_view property;
    std::string_view type;
};
constexpr std::array kPlacings = {
    Placing{"addr", "int32"},      // PCI
    Placing{"addr", "uint64"},     // memory module, with its slot
    Placing{"memaddr", "uint64"},  // virtio-mem, virtio-pmem
    Placing{"port", "str"},        // USB
    Placing{"channel", "uint32"},  // SCSI
    Placing{"scsi-id", "uint32"}, Placing{"lun", "uint32"},
    Placing{"nr", "uint32"},  // port of a virtio serial device
};
constexpr std::string_view kBus = "bus";
constexpr std::string_view kParentBus = "parent_bus";
constexpr std::string_view kSlot = "slot";
// Each argument that an address may have.
constexpr std::array<std::string_view, 9> kArguments = {
    "bus", "addr", "slot", "memaddr", "port", "channel", "scsi-id", "lun", "nr"};

constexpr std::size_t kNameBytes = 128;

// QEMU has acted when it is asked: the answer may not cost the operation its deadline.
constexpr auto kLongestAsking = std::chrono::seconds(2);

bool is_memory_module(const std::map<std::string, std::string>& types)
{
    const auto at = types.find("addr");
    return at != types.end() && at->second == "uint64" && types.contains(std::string(kSlot));
}

bool has(const std::map<std::string, std::string>& types, const Placing& placing)
{
    const auto at = types.find(std::string(placing.property));
    return at != types.end() && at->second == placing.type;
}

// "/machine/i440fx/pci.0" is the bus that device_add calls pci.0; "": it sits on none.
std::string bus_name(const std::map<std::string, std::string>& values)
{
    const auto at = values.find(std::string(kParentBus));
    if (at == values.end() || json_type(at->second) != JsonType::string) return {};
    const std::string path = json_decode_string(at->second);
    std::string name = path.substr(path.rfind('/') + 1);
    return name.size() <= kNameBytes ? name : std::string();  // QEMU is not trusted
}

// Slot and function, as device_add takes them and lspci prints them.
std::string pci_place(std::int64_t devfn)
{
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "%02x.%x", static_cast<unsigned>(devfn >> 3),
                  static_cast<unsigned>(devfn & 7));
    return json_quote(text.data());
}

}  // namespace

std::vector<std::string> placing_properties(const std::map<std::string, std::string>& types)
{
    std::vector<std::string> names;
    for (const auto& placing : kPlacings)
        if (has(types, placing)) names.emplace_back(placing.property);
    if (is_memory_module(types)) names.emplace_back(kSlot);
    if (!names.empty() && types.contains(std::string(kParentBus))) names.emplace_back(kParentBus);
    return names;
}

std::string address_of(const PlacedDevice& device)
{
    std::vector<std::pair<std::string, std::string>> arguments;
    const bool on_bus = !bus_name(device.values).empty();
    if (on_bus) arguments.emplace_back(kBus, json_quote(bus_name(device.values)));
    for (const auto& [property, value] : device.values) {
        const auto number = json_integer(value);
        const auto type = device.types.find(property);
        if (property == kParentBus || type == device.types.end()) continue;
        if (property == "addr" && type->second == "int32") {
            if (number && *number >= 0 && *number < 256)
                arguments.emplace_back(property, pci_place(*number));
        } else if (property == "port") {
            if (!device.usb_port.empty())
                arguments.emplace_back(property, json_quote(device.usb_port));
        } else if (number && *number >= 0) {
            arguments.emplace_back(property, value);
        }
    }
    if (arguments.size() == (on_bus ? 1U : 0U)) return "{}";  // a bus alone names no place
    return json_object(arguments);
}

std::string usb_port_of(std::string_view info_usb, std::string_view id)
{
    // "  Device 0.1, Port 2.1, Speed 480 Mb/s, Product QEMU USB Tablet, ID: tab": the port stands
    // before what a device calls itself, the id after it.
    const std::string end = ", ID: " + std::string(id);
    std::string found;
    while (!info_usb.empty()) {
        const auto newline = std::min(info_usb.find('\n'), info_usb.size());
        std::string_view line = info_usb.substr(0, newline);
        info_usb.remove_prefix(std::min(newline + 1, info_usb.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        const auto port = line.find(", Port ");
        if (!line.starts_with("  Device ") || !line.ends_with(end) ||
            port == std::string_view::npos)
            continue;
        const auto begin = port + 7;
        const auto text = line.substr(begin, line.find(',', begin) - begin);
        if (text.empty() || text.size() > kNameBytes ||
            text.find_first_not_of("0123456789.") != std::string_view::npos)
            continue;
        if (!found.empty()) return {};
        found = text;
    }
    return found;
}

namespace {

Task<Result<PlacedDevice>> ask_device(qmp::Monitor& monitor, std::string id, Deadline until)
{
    PlacedDevice device;
    const std::string path = std::string(kPeripherals) + "/" + id;
    auto members = co_await qom_members(monitor, path, until);
    if (!members) co_return std::move(members).error();
    device.types = *std::move(members);
    for (const auto& property : placing_properties(device.types)) {
        const std::string arguments =
            "{\"path\":" + json_quote(path) + ",\"property\":" + json_quote(property) + "}";
        auto value = co_await query(monitor, "qom-get", arguments, until);
        if (!value) co_return std::move(value).error();
        device.values[property] = *std::move(value);
    }
    const auto asked_for = device.values.find("port");
    if (asked_for == device.values.end()) co_return device;
    device.usb_port = json_type(asked_for->second) == JsonType::string
                          ? json_decode_string(asked_for->second)
                          : std::string();
    if (!device.usb_port.empty()) co_return device;
    // That property only says what was asked for; the port itself is in no object.
    const std::string command = R"({"command-line":"info usb"})";
    auto printed = co_await query(monitor, "human-monitor-command", command, until);
    if (!printed) co_return std::move(printed).error();
    if (json_type(*printed) == JsonType::string)
        device.usb_port = usb_port_of(json_decode_string(*printed), id);
    co_return device;
}

}  // namespace

Task<std::string> query_addresses(qmp::Monitor& monitor, std::vector<Product> products,
                                  Deadline until)
{
    until = std::min(until, Clock::now() + kLongestAsking);
    std::vector<std::pair<std::string, std::string>> found;
    for (const auto& product : products) {
        if (product.kind != "device" || !monitor.usable()) continue;
        const auto device = co_await ask_device(monitor, product.name, until);
        if (!device) continue;
        std::string address = address_of(*device);
        if (address != "{}") found.emplace_back(product.name, std::move(address));
    }
    co_return found.empty() ? std::string() : json_object(found);
}

Plan placed_at(Plan plan, std::string_view addresses)
{
    for (auto& step : plan.steps) {
        if (step.command.execute != "device_add") continue;
        auto& arguments = step.command.arguments;
        const auto id = json_get_string(arguments, "id");
        const auto address = id ? json_find(addresses, *id) : std::nullopt;
        if (!address) continue;
        for (const auto& member : json_members(*address))
            if (!json_find(arguments, member.key))
                arguments = json_with_member(arguments, member.key, member.value);
    }
    return plan;
}

Result<void> check_addresses(std::string_view minified)
{
    const auto bad = [](const std::string& what) {
        return Error(Errc::invalid, "address: " + what);
    };
    if (json_type(minified) != JsonType::object) return bad("it is not an object by device id");
    for (const auto& device : json_members(minified)) {
        if (json_type(device.value) != JsonType::object)
            return bad("that of device " + json_shown(device.key) + " is not an object");
        for (const auto& argument : json_members(device.value)) {
            const auto type = json_type(argument.value);
            if (std::find(kArguments.begin(), kArguments.end(), argument.key) == kArguments.end())
                return bad("device " + json_shown(device.key) + " has the unknown member " +
                           json_shown(argument.key));
            if (type != JsonType::string && !json_integer(argument.value))
                return bad("device " + json_shown(device.key) + ": " + json_shown(argument.key) +
                           " is neither a string nor a number");
        }
    }
    return {};
}

std::string shown_addresses(std::string_view addresses)
{
    std::string text;
    for (const auto& device : json_members(addresses)) {
        text += (text.empty() ? "" : "; ") + device.key + " at ";
        bool first = true;
        for (const auto& argument : json_members(device.value)) {
            text +=
                std::string(first ? "" : ", ") + argument.key + " " +
                (json_type(argument.value) == JsonType::string ? json_decode_string(argument.value)
                                                               : std::string(argument.value));
            first = false;
        }
    }
    return qmp::printable(text);
}

}  // namespace xlstore
