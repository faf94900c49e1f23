// SPDX-License-Identifier: MIT
// One address, three ways to write it: "0000:03:00.0" of Linux and of messages, "0000-03-00-0" of a
// node in xenstore, "pci-pt-03_00.0" of libxl's device ids, which have no segment. Numbers are
// hexadecimal, and each part has the bound of the bus: a text beyond it is no address.
#include "store/model/pci_address.hpp"

#include <array>
#include <cstdio>

#include "store/text/json_text.hpp"
#include "store/text/number_text.hpp"

namespace xlstore {

namespace {

std::string pci_text(const char* format, unsigned a, unsigned b, unsigned c, unsigned d)
{
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), format, a, b, c, d);
    return text.data();
}

// The hexadecimal number before `end` (or all that is left of `text`), which it takes away.
std::optional<unsigned> take_number(std::string_view& text, char end, unsigned most)
{
    const auto at = end == '\0' ? text.size() : text.find(end);
    if (at == std::string_view::npos || at == 0) return std::nullopt;
    const auto value = parse_hex<unsigned>(text.substr(0, at));
    if (!value || *value > most) return std::nullopt;
    text.remove_prefix(end == '\0' ? at : at + 1);
    return value;
}

}  // namespace

std::string PciAddress::text() const
{
    return pci_text("%04x:%02x:%02x.%01x", segment, bus, device, function);
}

std::string PciAddress::node_name() const
{
    return pci_text("%04x-%02x-%02x-%01x", segment, bus, device, function);
}

std::string PciAddress::qemu_id() const
{
    return text().replace(0, text().find(':') + 1, "pci-pt-").replace(9, 1, "_");
}

std::optional<PciAddress> pci_address_of(std::string_view element_json)
{
    const auto number = [&](const char* member) {
        return static_cast<unsigned>(json_get_integer(element_json, member).value_or(0));
    };
    const PciAddress address{number("domain"), number("bus"), number("dev"), number("func")};
    if (address == PciAddress{} && json_get_string(element_json, "name")) return std::nullopt;
    return address;
}

namespace {

constexpr std::string_view kLongestAddress = "7fffffff:ff:1f.7";

std::optional<PciAddress> address_in(std::string_view text, char colon, char dot)
{
    if (text.size() > kLongestAddress.size()) return std::nullopt;
    const auto segment = take_number(text, colon, 0x7fffffff);
    const auto bus = segment ? take_number(text, colon, 0xff) : std::nullopt;
    const auto device = bus ? take_number(text, dot, 0x1f) : std::nullopt;
    const auto function = device ? take_number(text, '\0', 7) : std::nullopt;
    if (!function) return std::nullopt;
    return PciAddress{*segment, *bus, *device, *function};
}

}  // namespace

std::optional<PciAddress> pci_address_from(std::string_view text)
{
    return address_in(text, ':', '.');
}

std::optional<PciAddress> pci_address_from_node(std::string_view name)
{
    return address_in(name, '-', '-');
}

std::string pci_slot_text(std::int64_t devfn)
{
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "%x.%x", static_cast<unsigned>(devfn >> 3),
                  static_cast<unsigned>(devfn & 7));
    return text.data();
}

std::optional<std::int64_t> pci_devfn_from(std::string_view slot_text)
{
    const auto slot = take_number(slot_text, '.', 0x1f);
    const auto function = slot ? take_number(slot_text, '\0', 7) : std::nullopt;
    if (!function) return std::nullopt;
    return (std::int64_t{*slot} << 3) | *function;
}

}  // namespace xlstore
