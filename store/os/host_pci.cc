// SPDX-License-Identifier: MIT
#include "store/os/host_pci.hpp"

#include <unistd.h>

#include <array>

namespace xlstore {

Result<void> check_assignable(const std::string& sysfs, const std::string& address)
{
    const std::string bus = sysfs + "/bus/pci/";
    if (access((bus + "drivers/pciback/" + address).c_str(), F_OK) == 0) return {};
    const std::string device = bus + "devices/" + address;
    if (access(device.c_str(), F_OK) != 0)
        return Error(Errc::refused, "the host has no PCI device " + address,
                     "nothing was changed; 'lspci -D' lists those that it has");
    std::array<char, 256> link{};
    const auto size = readlink((device + "/driver").c_str(), link.data(), link.size() - 1);
    std::string driver(link.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    driver = driver.substr(driver.rfind('/') + 1);
    return Error(Errc::refused,
                 "PCI device " + address +
                     (driver.empty() ? " has no driver" : " is bound to the driver " + driver) +
                     ", and only pciback gives one to a domain",
                 "nothing was changed; 'xl pci-assignable-add " + address + "', then try again");
}

}  // namespace xlstore
