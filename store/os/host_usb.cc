// SPDX-License-Identifier: MIT
// sysfs has a directory for each port with a device in it, named by the way to it ("1-1.4": bus 1,
// hub at port 1, its port 4), with bus and address in files. The name stays when the device is
// unplugged and plugged in again, the address does not: so a port is what a document keeps, and an
// address what QEMU is told.
#include "store/os/host_usb.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>

#include "store/os/regular_file.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

constexpr std::size_t kNumberBytesMax = 4096;  // sysfs gives a page

bool is_number(std::string_view text)
{
    return !text.empty() && text.size() <= 3 &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::optional<std::int64_t> number_in(const std::string& path)
{
    const auto text = read_regular_file(path, kNumberBytesMax);
    std::int64_t number = 0;
    if (!text ||
        std::from_chars(text->data(), text->data() + text->size(), number).ec != std::errc())
        return std::nullopt;
    return number;
}

}  // namespace

bool is_usb_port(std::string_view name) noexcept
{
    const auto dash = name.find('-');
    if (dash == std::string_view::npos || !is_number(name.substr(0, dash))) return false;
    for (auto ports = name.substr(dash + 1);;) {
        const auto dot = std::min(ports.find('.'), ports.size());
        if (!is_number(ports.substr(0, dot))) return false;
        if (dot == ports.size()) return true;
        ports.remove_prefix(dot + 1);
    }
}

bool shows_usb_devices(const std::string& sysfs)
{
    return access((sysfs + "/bus/usb/devices").c_str(), F_OK) == 0;
}

Result<HostUsb> find_usb_device(const std::string& sysfs, const std::string& port)
{
    if (!is_usb_port(port))
        return Error(Errc::invalid, json_shown(port) + " is no port of the host's",
                     "a port is BUS-PORT[.PORT...], such as \"1-1.4\"; 'lsusb -t' shows them");
    const std::string device = sysfs + "/bus/usb/devices/" + port + "/";
    const auto bus = number_in(device + "busnum");
    const auto address = number_in(device + "devnum");
    if (!bus || !address)
        return Error(Errc::refused, "nothing is plugged into the host's USB port " + port,
                     "nothing was changed; 'lsusb -t' shows what is plugged in where");
    return HostUsb{*bus, *address};
}

std::optional<std::string> find_usb_port(const std::string& sysfs, HostUsb device)
{
    std::error_code error;
    std::filesystem::directory_iterator at(sysfs + "/bus/usb/devices", error);
    for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
        std::string name = at->path().filename();
        if (!is_usb_port(name)) continue;
        const auto found = find_usb_device(sysfs, name);
        if (found && *found == device) return name;
    }
    return std::nullopt;
}

}  // namespace xlstore
