// SPDX-License-Identifier: MIT
// The facts of a store as one page for people, as one line, and as metrics.
#ifndef XLSTORE_TOOLS_XLSTORE_STATUS_PAGE_HPP_
#define XLSTORE_TOOLS_XLSTORE_STATUS_PAGE_HPP_

#include <string>
#include <vector>

#include "tools/common/screen.hpp"

namespace xlstore::tools {

/// The page, line by line, of the object that status_facts() gives.
[[nodiscard]] std::vector<std::string> status_page(const std::string& facts, const Screen& where);
/// "all is well: 3 domains, looked at 22:33:13 UTC", or what is not.
[[nodiscard]] std::string status_line(const std::string& facts);
/// In the text format of Prometheus, for node_exporter's textfile collector.
[[nodiscard]] std::string status_metrics(const std::string& facts);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLSTORE_STATUS_PAGE_HPP_
