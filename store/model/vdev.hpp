// SPDX-License-Identifier: MIT
// The names that libxl has for a disk in a guest, or for a partition that is one device of its own:
// "xvda", "hdc", "sdb", "xvda1", "d0p1", and a device number as it is ("51712"). Nothing for names
// that libxl does not know. Several names may stand for one device. Pure functions; any thread.
#ifndef XLSTORE_STORE_MODEL_VDEV_HPP_
#define XLSTORE_STORE_MODEL_VDEV_HPP_

#include <cstdint>
#include <optional>
#include <string_view>

namespace xlstore {

/// Which disk of its kind it is, from 0: 2 for "hdc" and "xvdc". Nothing for a mere number.
[[nodiscard]] std::optional<std::int64_t> vdev_disk(std::string_view vdev);

/// libxl's device number ("hdc" is 5632), which QEMU's id of an emulated drive is made of.
[[nodiscard]] std::optional<std::int64_t> vdev_number(std::string_view vdev);

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_VDEV_HPP_
