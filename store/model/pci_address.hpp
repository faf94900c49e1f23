// SPDX-License-Identifier: MIT
// Where a PCI device of the host is: segment (libxl's "domain"), bus, device, function. A value,
// with the spellings that libxl, QEMU and sysfs have for it. Pure functions; any thread.
#ifndef XLSTORE_STORE_MODEL_PCI_ADDRESS_HPP_
#define XLSTORE_STORE_MODEL_PCI_ADDRESS_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace xlstore {

struct PciAddress {
    unsigned segment = 0;
    unsigned bus = 0;
    unsigned device = 0;
    unsigned function = 0;
    bool operator==(const PciAddress&) const = default;

    /// "0000:03:00.0": as the key of an entry, QEMU's `hostaddr` and sysfs have it.
    [[nodiscard]] std::string text() const;
    /// "0000-03-00-0": as /libxl/pci of xenstore has it.
    [[nodiscard]] std::string node_name() const;
    /// libxl's id of the device in QEMU, "pci-pt-03_00.0". It has no segment: devices of two
    /// segments can have the same (R16).
    [[nodiscard]] std::string qemu_id() const;
};

/// QEMU's driver for such a device.
inline constexpr std::string_view kPciPassthrough = "xen-pci-passthrough";

/// The address that the element `pcidevs` (minified, as thing_key() has checked it) names; nothing:
/// it has a name instead, which xenstore alone knows.
[[nodiscard]] std::optional<PciAddress> pci_address_of(std::string_view element_json);
/// The other way round of text() and node_name(); nothing: it is no such text.
[[nodiscard]] std::optional<PciAddress> pci_address_from(std::string_view text);
[[nodiscard]] std::optional<PciAddress> pci_address_from_node(std::string_view name);

/// Slot and function on the guest's bus in one number, as libxl's `vdevfn` has them; and as QEMU's
/// `addr` does: "6.0". The second reads what QEMU or the first wrote ("06.0"); nothing: it is none.
[[nodiscard]] std::string pci_slot_text(std::int64_t devfn);
[[nodiscard]] std::optional<std::int64_t> pci_devfn_from(std::string_view slot_text);

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_PCI_ADDRESS_HPP_
