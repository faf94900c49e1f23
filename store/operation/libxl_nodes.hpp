// SPDX-License-Identifier: MIT
// The nodes by which libxl knows of things of QEMU's: USB controllers and devices below
// /libxl/D/device/vusb, processors below /local/domain/D/cpu. `xl usb-list` and the guest read
// them; QEMU does not.
#ifndef XLSTORE_STORE_OPERATION_LIBXL_NODES_HPP_
#define XLSTORE_STORE_OPERATION_LIBXL_NODES_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"
#include "store/event/loop.hpp"
#include "store/event/task.hpp"
#include "store/model/intent.hpp"

namespace xlstore {

/// What becomes of a node; no value: it goes, with all below it.
struct NodeChange {
    std::string path;
    std::optional<std::string> value;
    /// Only if this one is there; "": in any case.
    std::string below = {};
};

/// What libxl writes when QEMU has the thing `json` (minified) of domain `domid` (`there`), or has
/// it no longer. `usb_port`: the host's name of the USB device ("1-1.4"), or "": not known. Nothing
/// for a thing that libxl keeps no such node of. Pure.
[[nodiscard]] std::vector<NodeChange> libxl_nodes_of(const ThingName& thing, std::string_view json,
                                                     std::int64_t domid, bool there,
                                                     std::string_view usb_port);

/// Does so in one transaction. False: there is no xenstored, or it knows no such domain; nothing
/// was written. Errors: io.
Task<Result<bool>> write_libxl_nodes(Loop& loop, std::int64_t domid,
                                     std::vector<NodeChange> changes, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_LIBXL_NODES_HPP_
