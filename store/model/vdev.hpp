// SPDX-License-Identifier: MIT
// The names that libxl has for a disk in a guest: "xvda", "hdc", "sdb", "d5". Whole disks; nothing
// for names that libxl does not know. Pure functions; any thread.
#ifndef XLSTORE_STORE_MODEL_VDEV_HPP_
#define XLSTORE_STORE_MODEL_VDEV_HPP_

#include <cstdint>
#include <optional>
#include <string_view>

namespace xlstore {

/// Which disk of its kind it is, from 0: 2 for "hdc" and "xvdc".
[[nodiscard]] std::optional<std::int64_t> vdev_disk(std::string_view vdev);

/// libxl's device number ("hdc" is 5632), which QEMU's id of an emulated drive is made of.
[[nodiscard]] std::optional<std::int64_t> vdev_number(std::string_view vdev);

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_VDEV_HPP_
