// SPDX-License-Identifier: MIT
// What a request wants of one thing, as far as it is known before QEMU is asked: so that a request
// that finds an older intent open can tell one of its own kind from another's (R18). Nothing here
// reads or writes.
#ifndef XLSTORE_STORE_CLASSES_WISH_HPP_
#define XLSTORE_STORE_CLASSES_WISH_HPP_

#include <optional>
#include <string>
#include <vector>

#include "store/model/intent.hpp"

namespace xlstore {

struct Wish {
    Verb verb;
    ThingName thing;
    /// Of an add: the thing's JSON, minified. Of a change: the medium that is to be in the drive,
    /// as medium_of() names it; nothing for an empty drive. Of a removal: nothing.
    std::optional<std::string> image = {};
    bool force = false;  ///< a guest that keeps a tray shut is not asked; no part of the image
};

[[nodiscard]] Wish wish_of(const Draft& draft);

/// Does `earlier` want the same: the same verb, and the same image of the same thing?
[[nodiscard]] bool wants_the_same(const Wish& wish, const Draft& earlier);

/// Each wish against the intents that are settled as one: of a batch all are wished, or this is
/// another request.
[[nodiscard]] bool wants_the_same(const std::vector<Wish>& wishes, const std::vector<Intent>& unit);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CLASSES_WISH_HPP_
