// SPDX-License-Identifier: MIT
#include "store/qmp/unplug_news.hpp"

#include <algorithm>
#include <iterator>
#include <optional>

#include "store/text/json_text.hpp"

namespace xlstore::qmp {

namespace {

// How a guest's ACPI answers a request to eject (_OST, ACPI 6.5 section 6.3.5): QEMU hands it on
// for processors and memory, and calls no device that the guest keeps an error on x86.
constexpr std::string_view kAcpiStatus = "ACPI_DEVICE_OST";
constexpr std::int64_t kEjectRequests[] = {3, 0x103};
constexpr std::int64_t kRefusals[] = {1, 0x80, 0x81, 0x82, 0x83};  // 0x84 and 0x85: it is at it

template <std::size_t N>
bool is_one_of(std::optional<std::int64_t> value, const std::int64_t (&of)[N])
{
    return value && std::find(std::begin(of), std::end(of), *value) != std::end(of);
}

}  // namespace

bool may_tell_of_unplug(std::string_view event)
{
    return event == kDeviceDeleted || event == kUnplugRefused || event == kAcpiStatus;
}

std::string_view unplug_news(std::string_view event, std::string_view data,
                             const std::string& device)
{
    if (event == kAcpiStatus) {
        const auto info = json_find(data, "info");
        const bool refused = info && json_get_string(*info, "device") == device &&
                             is_one_of(json_get_integer(*info, "source"), kEjectRequests) &&
                             is_one_of(json_get_integer(*info, "status"), kRefusals);
        return refused ? kUnplugRefused : std::string_view();
    }
    const bool meant = json_get_string(data, "device") == device ||
                       json_get_string(data, "path") == "/machine/peripheral/" + device;
    if (!meant) return {};
    return event == kDeviceDeleted ? kDeviceDeleted : kUnplugRefused;
}

}  // namespace xlstore::qmp
