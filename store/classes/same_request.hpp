// SPDX-License-Identifier: MIT
// Whether two drafts want the same: a request that finds an older intent open tells one of its own
// kind from another's (R18). What a draft without a plan says is enough. Nothing here reads or
// writes.
#ifndef XLSTORE_STORE_CLASSES_SAME_REQUEST_HPP_
#define XLSTORE_STORE_CLASSES_SAME_REQUEST_HPP_

#include <vector>

#include "store/model/intent.hpp"

namespace xlstore {

/// Does `earlier` want the same as `wanted`: the same verb, and the same image of the same thing?
/// Of an add the image is the JSON, of a change the medium that is to be in the drive.
[[nodiscard]] bool wants_the_same(const Draft& wanted, const Draft& earlier);

/// Each draft against the intents that are settled as one: of a batch all are wanted, or this is
/// another request.
[[nodiscard]] bool wants_the_same(const std::vector<Draft>& wanted,
                                  const std::vector<Intent>& unit);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CLASSES_SAME_REQUEST_HPP_
