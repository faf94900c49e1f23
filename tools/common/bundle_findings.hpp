// SPDX-License-Identifier: MIT
#ifndef XLSTORE_TOOLS_COMMON_BUNDLE_FINDINGS_HPP_
#define XLSTORE_TOOLS_COMMON_BUNDLE_FINDINGS_HPP_

#include <map>
#include <string>
#include <vector>

namespace xlstore::tools {

/// The lines for what recovery saw where the bundle with these members was made: why it did not
/// look, or not at everything, then each finding. A bundle of format 1 does not say the first.
/// Throws nlohmann::json::exception and std::out_of_range for one that cannot be read.
[[nodiscard]] std::vector<std::string> findings_page(
    const std::map<std::string, std::string>& members);

/// Prints that, and when. A bundle comes from elsewhere: what cannot be read of it is said.
void print_seen_there(const std::map<std::string, std::string>& members);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_BUNDLE_FINDINGS_HPP_
