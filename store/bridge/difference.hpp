// SPDX-License-Identifier: MIT
// Where the store and libxl's file of a domain differ: a value.
#ifndef XLSTORE_STORE_BRIDGE_DIFFERENCE_HPP_
#define XLSTORE_STORE_BRIDGE_DIFFERENCE_HPP_

#include <optional>
#include <string>
#include <string_view>

#include "store/model/thing_row.hpp"

namespace xlstore {

/// In place of a device class: a member of the document that is no array of elements.
inline constexpr std::string_view kMemberClass = "member";

/// An element, or a member of the document, that the store and libxl's file have differently.
struct BridgeDifference {
    ThingName thing;                      ///< of a member: kMemberClass and its key
    std::optional<std::string> in_store;  ///< minified; nothing: it has none
    std::optional<std::string> in_file;
    std::string state = {};  ///< of the entry; "": there is none
    bool pending = false;    ///< an intent, or an operation in xenstore, is open on it
    /// Which of the two has it as its primary shows it; unknown: the primary did not tell.
    enum class Right { unknown, store, file, neither };
    Right right = Right::unknown;
    std::string evidence = {};  ///< what was seen, or why nothing was; a status alone looks
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_BRIDGE_DIFFERENCE_HPP_
