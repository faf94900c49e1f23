// SPDX-License-Identifier: MIT
// What a thing whose primary is xenstore is made of there: the keys below the three nodes that
// libxl writes for it (its front end's, its back end's, and libxl's own copy). Pure functions of
// the thing's JSON; any thread. How the nodes are written: store/xenstore/device_nodes.hpp.
#ifndef XLSTORE_STORE_CLASSES_XENSTORE_DEVICE_HPP_
#define XLSTORE_STORE_CLASSES_XENSTORE_DEVICE_HPP_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"
#include "store/model/domain_traits.hpp"

namespace xlstore {

struct XenstoreKey {
    std::string name;  ///< "mac", "port/1"
    std::string value;
    friend bool operator==(const XenstoreKey&, const XenstoreKey&) = default;
};

/// A device as libxl puts it into xenstore, without what all devices have alike (the paths to each
/// other, backend-id, frontend-id, online, state).
struct XenstoreDevice {
    std::string kind;          ///< "vif"
    std::string backend_kind;  ///< "qdisk"; of most classes the same
    std::int64_t number = 0;   ///< the devid; of a disk the one that its vdev stands for
    std::int64_t backend_domid = 0;
    std::vector<XenstoreKey> back;   ///< the guest may read them; copied below /libxl
    std::vector<XenstoreKey> front;  ///< the guest may write them
    std::vector<XenstoreKey> fixed;  ///< in the front end's node, and the guest may read them
};

/// What the kernel said of the host, as far as libxl asks it.
struct XenstoreHost {
    bool block_device = false;                 ///< a disk's pdev_path is one
    std::string scripts = "/etc/xen/scripts";  ///< where hotplug scripts are
};

/// "vif" for nics; "" for a class that has no nodes of its own in xenstore, or none that libxl
/// writes while the domain runs.
[[nodiscard]] std::string_view xenstore_kind(std::string_view device_class) noexcept;

/// Does libxl choose the device's number where its JSON has none (devid omitted or -1)?
[[nodiscard]] bool wants_number(std::string_view device_class, std::string_view json);

/// The device's number: its devid, or the one that a disk's vdev stands for. Errors: invalid,
/// naming class and member.
Result<std::int64_t> xenstore_number(std::string_view device_class, std::string_view json);

/// The JSON as it goes into the document: with `next` as its devid where it has none, and with what
/// libxl writes back of what it chose (nics: nictype, mac; vtpms: uuid; usbctrls: version, ports).
/// `random` (hexadecimal digits, at least 6) and `uuid` are for a mac or uuid that is not given.
/// Errors: invalid, naming class and member, which may be of another type than in libxl.
Result<std::string> with_libxl_choices(std::string_view device_class, std::string_view json,
                                       DomainType type, std::int64_t next, std::string_view random,
                                       std::string_view uuid);

/// The device of a JSON that with_libxl_choices() has completed. Errors: invalid, naming class and
/// member: something that the device needs is missing or of another type, or what this version does
/// not write (COLO, a virtio disk, blktap, a back end named other than by number).
Result<XenstoreDevice> xenstore_device(std::string_view device_class, std::string_view json,
                                       const XenstoreHost& host);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CLASSES_XENSTORE_DEVICE_HPP_
