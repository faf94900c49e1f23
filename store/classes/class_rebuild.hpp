// SPDX-License-Identifier: MIT
// The other way round from store/classes/class_plan.hpp: what QEMU says of something that it has,
// as the entry that attaching it would have written. Pure functions. Nothing where that cannot be
// told: an entry is never guessed.
#ifndef XLSTORE_STORE_CLASSES_CLASS_REBUILD_HPP_
#define XLSTORE_STORE_CLASSES_CLASS_REBUILD_HPP_

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/classes/class_plan.hpp"
#include "store/model/intent.hpp"

namespace xlstore {

/// A device that QEMU has, as QEMU describes it.
struct SeenDevice {
    std::string id;
    std::string driver;
    std::map<std::string, std::string> properties;  ///< by name, as JSON
};

struct Rebuilt {
    ThingName name;
    std::string json;
};

/// A USB controller, a USB device, a PCI device or a vcpu, by the ids and places that libxl gives
/// them. The number of ports QEMU says of a controller of version 3 only: that of the others is
/// fixed.
std::optional<Rebuilt> rebuild_device(const SeenDevice& device, const std::vector<VcpuSlot>& slots);

/// The thing (hda to hdd) whose CD drive has this id in QEMU.
std::optional<ThingName> thing_of_drive(std::string_view drive);
/// A CD drive (hda to hdd) with this medium, "raw:/a.iso".
std::optional<Rebuilt> rebuild_drive(std::string_view drive, std::string_view medium);
/// The CD drive of that name without a medium.
Rebuilt rebuild_empty_drive(ThingName name);

/// An entry of class `qemu` that says what is there, and nothing of how it came there; what stands
/// on another product comes after it.
std::string found_entry(std::string_view key, const std::vector<Product>& products);
/// The order that goes by kind, where nothing else is known.
void order_by_kind(std::vector<Product>& products);

/// A medium of which path and format are known, apart: the path is absolute.
struct Medium {
    std::string format;
    std::string path;
};
std::optional<Medium> split_medium(std::string_view medium);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CLASSES_CLASS_REBUILD_HPP_
