// SPDX-License-Identifier: MIT
// The devices of a domain as xenstore has them. libxl writes three places for each, in one
// transaction: libxl's node below /libxl, the front end's directory, and the back end's:
//
//   /libxl/7/device/vbd/51712                     the toolstack's: what counts, no guest writes it
//   /local/domain/7/device/vbd/51712              the guest's own: nothing in it is believed
//   /local/domain/0/backend/qdisk/7/51712         the back end's domain's
//
// libxl's node says where the other two are. What it says is taken only where it can be the path of
// this very device: a path that leads elsewhere is a flaw, and is neither read nor written. Pure
// functions; any thread.
#ifndef XLSTORE_STORE_XENSTORE_XEN_DEVICE_HPP_
#define XLSTORE_STORE_XENSTORE_XEN_DEVICE_HPP_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/model/thing_row.hpp"
#include "store/xenstore/tree.hpp"

namespace xlstore::xenstore {

/// A kind of device: what libxl calls it in the paths of a front end and of its back ends.
struct DeviceKind {
    std::string_view front;         ///< "vbd"
    std::string_view device_class;  ///< of its things: "disks"
    std::span<const std::string_view> backs;
};
/// All but PCI devices, which share one node, and USB devices, which have a key of their
/// controller's.
[[nodiscard]] std::span<const DeviceKind> device_kinds();

struct XenDevice {
    const DeviceKind* kind = nullptr;
    std::int32_t devid = 0;
    std::string libxl_node;  ///< "/libxl/7/device/vbd/51712"
    std::string frontend;  ///< where it is, or would be
    std::string backend;   ///< "": no path of it is known
    std::int32_t backend_domid = 0;
    bool has_libxl_node = false;
    bool has_frontend = false;
    bool has_backend = false;
    /// libxl's node names no usable path: "its back end would be "/etc"".
    std::string flaw = {};

    /// A controller of the device model's has libxl's node alone.
    bool of_device_model = false;
    /// All that it is to have is there.
    [[nodiscard]] bool whole() const noexcept
    {
        return has_libxl_node && flaw.empty() && (of_device_model || (has_frontend && has_backend));
    }
    /// "vbd/51712".
    [[nodiscard]] std::string name() const;
};

/// A PCI device in the list of the domain's pci node.
struct XenPciDevice {
    std::string list;  ///< "/local/domain/0/backend/pci/7/0"
    std::string number;  ///< in it: "0" of dev-0
    std::string key;   ///< as of class pcidevs: "0000:03:00.0"
    std::string json;  ///< the element
};

/// What has to be read of a domain to find its devices, but for back ends in other domains than 0.
[[nodiscard]] std::vector<std::string> device_roots(std::int64_t domid);
/// Those: the domains that libxl's nodes in `tree` name, and where their back ends of it are.
[[nodiscard]] std::vector<std::string> driver_domain_roots(const Tree& tree, std::int64_t domid);

/// By kind and number: those that have libxl's node, then those of which a back end is left without
/// one. A front end alone is not told: its guest may have made it.
[[nodiscard]] std::vector<XenDevice> xen_devices(const Tree& tree, std::int64_t domid);
[[nodiscard]] std::vector<XenPciDevice> xen_pci_devices(const Tree& tree, std::int64_t domid);
/// The ports of a controller that have a device: number, and what libxl's node says ("1-4").
[[nodiscard]] std::vector<std::pair<std::int32_t, std::string>> used_ports(const Tree& tree,
                                                                           const XenDevice& device);

/// The number that libxl gives the thing `name`; nothing: its JSON does not tell.
[[nodiscard]] std::optional<std::int64_t> devid_of(const ThingName& name, std::string_view json);
/// Is it the thing `name`, by the kind and the number that libxl gives such a thing? One whose
/// number is not in its JSON may be any of its class (nothing).
[[nodiscard]] std::optional<bool> is_thing(const Tree& tree, const XenDevice& device,
                                           const ThingName& name, std::string_view json);
/// libxl makes it of its own accord, without an element in the document: the domain's first
/// console, and the keyboard of an HVM domain.
[[nodiscard]] bool is_of_domain(const XenDevice& device, bool has_device_model);

/// The element that attaching it would have written, with the fields that libxl's from_xenstore
/// reads, and format and model where the nodes tell them. Nothing, and why in `flaw`: a value is
/// none that a toolstack writes. Of `device`, libxl's node is read, and where it lacks a value the
/// back end; of front ends nothing.
struct XenElement {
    std::string json;  ///< "": none can be made
    std::string flaw;
};
[[nodiscard]] XenElement element_of(const Tree& tree, const XenDevice& device);

/// `json` for a message: without a password.
[[nodiscard]] std::string shown_element(std::string_view json);

}  // namespace xlstore::xenstore

#endif  // XLSTORE_STORE_XENSTORE_XEN_DEVICE_HPP_
