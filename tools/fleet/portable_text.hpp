// SPDX-License-Identifier: MIT
// PostgreSQL takes valid UTF-8 without NUL, and a store may hold bytes of any
// kind: a guest's, a path's. One such line must not stop all that come after
// it.
#ifndef XLSTORE_TOOLS_FLEET_PORTABLE_TEXT_HPP_
#define XLSTORE_TOOLS_FLEET_PORTABLE_TEXT_HPP_

#include <string>
#include <string_view>

namespace xlstore::fleet {

/// `json` with a question mark for each byte that is not UTF-8 and for each
/// escape that it refuses (NUL, half a pair).
[[nodiscard]] std::string portable_json(std::string_view json);

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_PORTABLE_TEXT_HPP_
