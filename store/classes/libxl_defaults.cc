// SPDX-License-Identifier: MIT
// What libxl fills in when it attaches a device, so that the entry is the element that libxl would
// have written: ports and version of a USB controller, and the RDM policy of a PCI device.
#include "store/classes/libxl_defaults.hpp"

#include "store/model/domain_traits.hpp"
#include "store/model/libxl_fields.hpp"
#include "store/model/pci_address.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kUsbControllerArray = "usbctrls";
constexpr std::string_view kPciDeviceArray = "pcidevs";

// Ports of a controller that QEMU emulates: two of the versions cannot have another number.
struct Ports {
    std::int64_t version;
    std::int64_t standard;
    std::int64_t least;
    std::int64_t most;
};
constexpr Ports kPorts[] = {{1, 2, 2, 2}, {2, 6, 6, 6}, {3, 8, 1, 15}};

Result<std::string> usb_controller(std::string_view json)
{
    std::string whole(json);
    const auto add = [&whole](std::string_view member, const std::string& value) {
        whole = with_libxl_member(kUsbControllerArray, whole, member, value);
    };
    if (!is_device_model_controller(DomainType::hvm, json)) return whole;
    add("type", json_quote("devicemodel"));  // also where it was "auto"
    auto version = json_get_integer(json, "version").value_or(0);
    if (version == 0) version = 2;
    for (const auto& row : kPorts) {
        if (row.version != version) continue;
        auto ports = json_get_integer(json, "ports").value_or(0);
        if (ports == 0) ports = row.standard;
        if (ports < row.least || ports > row.most)
            return Error(Errc::invalid,
                         "usbctrls: a controller of version " + std::to_string(version) + " has " +
                             (row.least == row.most
                                  ? std::to_string(row.most)
                                  : std::to_string(row.least) + " to " + std::to_string(row.most)) +
                             " ports, not " + std::to_string(ports),
                         "omit \"ports\" for " + std::to_string(row.standard));
        add("version", std::to_string(version));
        add("ports", std::to_string(ports));
    }
    return whole;
}

}  // namespace

Result<std::string> with_libxl_defaults(std::string_view device_class, std::string_view json)
{
    if (device_class == kUsbControllerArray) return usb_controller(json);
    if (device_class != kPciDeviceArray || json_get_string(json, "rdm_policy"))
        return std::string(json);
    return with_libxl_member(kPciDeviceArray, json, "rdm_policy", json_quote("strict"));
}

std::string with_place_of(std::string_view device_class, std::string_view json,
                          std::string_view addresses)
{
    const auto address = device_class == kPciDeviceArray ? pci_address_of(json) : std::nullopt;
    const auto device = address ? json_find(addresses, address->qemu_id()) : std::nullopt;
    const auto slot = device ? json_get_string(*device, "addr") : std::nullopt;
    const auto devfn = slot ? pci_devfn_from(*slot) : std::nullopt;
    if (!devfn || json_get_integer(json, "vdevfn").value_or(0) != 0) return std::string(json);
    return with_libxl_member(kPciDeviceArray, json, "vdevfn", std::to_string(*devfn));
}

}  // namespace xlstore
