// SPDX-License-Identifier: MIT
#ifndef XLSTORE_TOOLS_COMMON_BUNDLE_FINDINGS_HPP_
#define XLSTORE_TOOLS_COMMON_BUNDLE_FINDINGS_HPP_

#include <map>
#include <string>

namespace xlstore::tools {

/// Prints what recovery saw where and when the bundle with these members was made. It comes from
/// elsewhere: what cannot be read of it is said.
void print_seen_there(const std::map<std::string, std::string>& members);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_BUNDLE_FINDINGS_HPP_
