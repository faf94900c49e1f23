// SPDX-License-Identifier: MIT
// What a thing is made of in QEMU: a value. Read by store/core/product.hpp.
#ifndef XLSTORE_STORE_MODEL_MADE_OF_HPP_
#define XLSTORE_STORE_MODEL_MADE_OF_HPP_

#include <vector>

#include "store/model/plan.hpp"

namespace xlstore {

/// What `entry` is made of in QEMU, in the order of its making, each with what takes it out. With
/// an open intent: of both images.
struct MadeOf {
    std::vector<Product> products;
    /// Names that it would have and another thing has: in QEMU they are that one's. Nothing may be
    /// done to them for the sake of this entry.
    std::vector<Product> of_others;
    bool recorded = false;  ///< by its rows; otherwise the class says it
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_MADE_OF_HPP_
