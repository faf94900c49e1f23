// SPDX-License-Identifier: MIT
// A USB device that is named by the host's port ("busid": "1-1.4") instead of by bus and address,
// which are others each time it is plugged in.
#ifndef XLSTORE_STORE_OPERATION_HOST_USB_PORT_HPP_
#define XLSTORE_STORE_OPERATION_HOST_USB_PORT_HPP_

#include <optional>
#include <string>
#include <string_view>

#include "store/base/error.hpp"

namespace xlstore {

/// The port that a thing of class usbdevs names; nothing: it names none.
[[nodiscard]] std::optional<std::string> usb_port_named_by(std::string_view device_class,
                                                           std::string_view json);

/// `json` with the bus and address of what is plugged into its port now; as it is where it names no
/// port. Errors: as of find_usb_device(), naming the class.
Result<std::string> with_usb_address(const std::string& sysfs, std::string_view device_class,
                                     std::string_view json);

/// A thing of class usbdevs (minified) that QEMU was given by bus and address, and whose port has
/// something else by now: what is to be said of it. Nothing: it is as it was, it names no port, or
/// sysfs says nothing of USB devices at all.
[[nodiscard]] std::optional<std::string> plugged_in_anew(const std::string& sysfs,
                                                         std::string_view device_class,
                                                         std::string_view json);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_HOST_USB_PORT_HPP_
