// SPDX-License-Identifier: MIT
// Where two documents differ, member by member.
#ifndef XLSTORE_TOOLS_FLEET_DOCUMENT_DIFFERENCE_HPP_
#define XLSTORE_TOOLS_FLEET_DOCUMENT_DIFFERENCE_HPP_

#include <string>
#include <string_view>
#include <vector>

namespace xlstore::fleet {

/// A line each: "disks[0].pdev_path: \"a\" here, \"b\" there". Both are
/// minified.
[[nodiscard]] std::vector<std::string> document_difference(std::string_view here,
                                                           std::string_view there);

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_DOCUMENT_DIFFERENCE_HPP_
