// SPDX-License-Identifier: MIT
// The device classes, one row a class. What libxl knows of a class and its document does not say
// stands here once: the array that holds its things, what makes two of them the same, and where
// they really are. Constant data; any thread.
#ifndef XLSTORE_STORE_MODEL_DEVICE_CLASS_HPP_
#define XLSTORE_STORE_MODEL_DEVICE_CLASS_HPP_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "store/base/error.hpp"
#include "store/model/domain_traits.hpp"

namespace xlstore {

/// Where a thing really is. A thing whose primary is QEMU has the slow lock as its thing lock, all
/// others have the fast lock (R3).
enum class Primary { qemu, xenstore, none };
/// As the store has it.
[[nodiscard]] std::string_view primary_name(Primary primary) noexcept;

/// What libxl compares to tell whether two elements of an array are the same thing.
enum class KeyRule {
    vdev,       ///< the string `vdev`, spelled ("hdc"; "xvda" is not "d0p0")
    devid,      ///< the number `devid` ("0")
    ctrl_port,  ///< `ctrl` and `port` ("0.1")
    bdf,        ///< `domain`, `bus`, `dev`, `func`, 0 where omitted ("0000:03:00.0"); nothing where
                ///< `name` alone is given
    position,   ///< nothing: the store gives each a key of its own ("#0")
    index,      ///< the number `index` ("2"); ours, such things are in no array
    given,      ///< the string `key`; ours too
};

struct DeviceClass {
    std::string_view name;  ///< of the class, and of its array in the document
    KeyRule key;
    Primary primary;        ///< in a domain with a device model
    Primary without_model;  ///< in a PV or PVH domain
    bool in_document;       ///< whether the document has an array of it

    /// For classes whose things differ: the primary of one element, instead of `primary`. May be
    /// null.
    Primary (*primary_of)(std::string_view element_json, const DomainTraits& traits);
};

/// All classes; those in the document first, in the order in which libxl writes their arrays.
[[nodiscard]] std::span<const DeviceClass> device_classes();

/// The class named `name`, or null.
[[nodiscard]] const DeviceClass* find_device_class(std::string_view name);

/// The key of `element_json` (minified) as libxl compares it; empty for an element without
/// identity: one of a class without any, a PCI device given by name alone, and a template that
/// libxl has yet to number (devid or ctrl omitted or -1, port omitted or 0, vdev omitted or null).
/// The store gives such an element a key that it keeps ("#7", new_key()): its place is none (R16).
/// Errors: invalid, naming class and `position` in the array: not an object, or an identity field
/// of the wrong type or out of range.
Result<std::string> thing_key(const DeviceClass& device_class, std::string_view element_json,
                              std::size_t position);

/// The least element with that key: nothing else is known of it, but whether QEMU is to have it in
/// a domain with a device model.
/// REQUIRES a key that thing_key() made of an element of this class.
[[nodiscard]] std::string element_of_key(const DeviceClass& device_class, std::string_view key,
                                         bool in_qemu);

/// Where the thing `element_json` (minified) really is, in a domain of these traits. With a device
/// model a CD's medium is QEMU's, a PCI device, and a USB controller but of type pv or qusb; a USB
/// device is where its controller is. Without one nothing is, but what an embedder puts there
/// itself (class qemu). The table: store/DESIGN.md.
[[nodiscard]] Primary thing_primary(const DeviceClass& device_class, std::string_view element_json,
                                    const DomainTraits& traits);

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_DEVICE_CLASS_HPP_
