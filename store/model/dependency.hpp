// SPDX-License-Identifier: MIT
// Which thing depends on which: a device on the controller whose bus it names, on a block node, a
// character device, a memory object. Told by the arguments of the plans alone. Pure functions.
#ifndef XLSTORE_STORE_MODEL_DEPENDENCY_HPP_
#define XLSTORE_STORE_MODEL_DEPENDENCY_HPP_

#include <cstddef>
#include <vector>

#include "store/model/plan.hpp"

namespace xlstore {

/// The numbers of `plans` in an order in which each comes after all that it depends on: what its
/// arguments name by an id that another makes, or by a bus of such a device ("xenusb-0.0").
/// Otherwise they stay as they are given. Of plans that depend on each other no order is right:
/// each is there once.
[[nodiscard]] std::vector<std::size_t> order_by_dependency(const std::vector<Plan>& plans);

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_DEPENDENCY_HPP_
