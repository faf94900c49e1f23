// SPDX-License-Identifier: MIT
// USB devices of the host, as sysfs shows them. A port keeps its name ("1-1.4": bus 1, port 4 of
// the hub at port 1); what is plugged into it gets another address each time.
#ifndef XLSTORE_STORE_OS_HOST_USB_HPP_
#define XLSTORE_STORE_OS_HOST_USB_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/error.hpp"

namespace xlstore {

/// By which QEMU finds it now.
struct HostUsb {
    std::int64_t bus = 0;
    std::int64_t address = 0;
    bool operator==(const HostUsb&) const = default;
};

/// Is it the name of a port, as sysfs spells one?
[[nodiscard]] bool is_usb_port(std::string_view name) noexcept;

/// Does sysfs show USB devices at all? Not in a container, or without their drivers: then nothing
/// follows from one that is not there.
[[nodiscard]] bool shows_usb_devices(const std::string& sysfs);

/// What is plugged into `port` now. `sysfs` is where sysfs is mounted. Errors: invalid (no such
/// name), refused (nothing is there, or sysfs says nothing of it).
Result<HostUsb> find_usb_device(const std::string& sysfs, const std::string& port);

/// The port that `device` is plugged into; nothing: it is not there, or sysfs does not say.
[[nodiscard]] std::optional<std::string> find_usb_port(const std::string& sysfs, HostUsb device);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_HOST_USB_HPP_
