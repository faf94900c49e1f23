// SPDX-License-Identifier: MIT
// The nodes of a device in xenstore, as libxl lays them out: the front end's (the guest may write
// there), the back end's (its domain may), and libxl's own copy, which neither may write and which
// alone is believed. Pure functions.
#ifndef XLSTORE_STORE_XENSTORE_DEVICE_NODES_HPP_
#define XLSTORE_STORE_XENSTORE_DEVICE_NODES_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/classes/xenstore_device.hpp"
#include "store/xenstore/protocol.hpp"

namespace xlstore::xenstore {

/// The paths of one device's nodes.
struct DevicePaths {
    std::string own;    ///< /libxl/7/device/vif/0; that it is there is what makes the device there
    std::string front;  ///< /local/domain/7/device/vif/0
    std::string back;   ///< /local/domain/0/backend/vif/7/0; "": it has none, or none is known
};

/// Where libxl lists the devices of a kind: /libxl/7/device/vif
[[nodiscard]] std::string listing_path(std::int64_t domid, std::string_view kind);
/// Without the back end's, which the device's JSON alone does not tell.
[[nodiscard]] DevicePaths device_paths(std::int64_t domid, std::string_view kind,
                                       std::int64_t number);
/// With it.
[[nodiscard]] DevicePaths device_paths(std::int64_t domid, const XenstoreDevice& device);

/// Where domain 0 serves the device with libxl's node `own` ("/libxl/7/device/vif/0") by a driver:
/// "/local/domain/0/backend/vif/7/0". "": that is no such node.
[[nodiscard]] std::string back_end_by_driver(std::string_view own);

/// Is `recorded`, the value of a device's "backend" below /libxl, the path of a back end of that
/// very device? Nothing else is ever taken for a path.
[[nodiscard]] bool is_back_end_of(std::string_view recorded, std::int64_t domid,
                                  std::int64_t number) noexcept;

/// What makes the device in transaction `in`, in libxl's order and with its permissions: all three
/// nodes are taken away first, for without the own one what is left of the others is rubbish.
[[nodiscard]] std::vector<Request> requests_to_add(std::int64_t domid, const XenstoreDevice& device,
                                                   Transaction in);
/// Is that back end in domain 0? One in a driver domain is taken away by that domain's own
/// toolstack once it is closed, as libxl has it.
[[nodiscard]] bool is_own_back_end(std::string_view back) noexcept;

/// What takes its nodes away; a driver domain's back end stays.
[[nodiscard]] std::vector<Request> requests_to_remove(const DevicePaths& paths, Transaction in);
/// The nodes above one of a device's that libxl takes away, too, once they are empty: the nearest
/// first. Nothing: `node` is no device's.
[[nodiscard]] std::vector<std::string> parents_of(const std::string& node);
/// Of all of its nodes.
[[nodiscard]] std::vector<std::string> parents_of(const DevicePaths& paths);

}  // namespace xlstore::xenstore

#endif  // XLSTORE_STORE_XENSTORE_DEVICE_NODES_HPP_
