// SPDX-License-Identifier: MIT
// What an event of QEMU's says of a request to let go of a device.
#ifndef XLSTORE_STORE_QMP_UNPLUG_NEWS_HPP_
#define XLSTORE_STORE_QMP_UNPLUG_NEWS_HPP_

#include <string>
#include <string_view>

namespace xlstore::qmp {

inline constexpr std::string_view kDeviceDeleted = "DEVICE_DELETED";
inline constexpr std::string_view kUnplugRefused = "DEVICE_UNPLUG_GUEST_ERROR";

/// Can an event of that name be about one?
[[nodiscard]] bool may_tell_of_unplug(std::string_view event);
/// kDeviceDeleted or kUnplugRefused of `device`; empty: nothing. `data`: JSON, minified.
[[nodiscard]] std::string_view unplug_news(std::string_view event, std::string_view data,
                                           const std::string& device);

}  // namespace xlstore::qmp

#endif  // XLSTORE_STORE_QMP_UNPLUG_NEWS_HPP_
