// SPDX-License-Identifier: MIT
// PCI devices of the host, as sysfs shows them. Reads links alone.
#ifndef XLSTORE_STORE_OS_HOST_PCI_HPP_
#define XLSTORE_STORE_OS_HOST_PCI_HPP_

#include <string>

#include "store/base/error.hpp"

namespace xlstore {

/// Can the device `address` ("0000:03:00.0") be given to a domain, that is, has pciback it? `sysfs`
/// is where sysfs is mounted. Error refused, saying who has it, or that the host has none such.
Result<void> check_assignable(const std::string& sysfs, const std::string& address);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_HOST_PCI_HPP_
