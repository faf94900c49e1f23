// SPDX-License-Identifier: MIT
// What QEMUs, xenstore, locks and units answered when a bundle was made, within a time.
#ifndef XLSTORE_TOOLS_XLSTORE_BUNDLE_LOOK_HPP_
#define XLSTORE_TOOLS_XLSTORE_BUNDLE_LOOK_HPP_

#include <chrono>
#include <string>

#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

/// {"status", "error", "findings"}, JSON: what recovery sees of all domains when it only looks.
/// What did not run, or not to its end, has found nothing, or not all: `error` says so.
[[nodiscard]] std::string findings_until(xlstore_store* store,
                                         std::chrono::steady_clock::time_point until);
/// The same of a store that cannot be opened, as 'xlfsck -n --json' tells it.
[[nodiscard]] std::string findings_of_xlfsck(const std::string& directory,
                                             std::chrono::steady_clock::time_point until);
/// status_facts(); QEMUs that have not answered by `until` are not looked at.
Result<std::string> facts_until(const Arguments& arguments, xlstore_store* store,
                                std::chrono::steady_clock::time_point until);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLSTORE_BUNDLE_LOOK_HPP_
