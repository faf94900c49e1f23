// SPDX-License-Identifier: MIT
// create --scope: QEMU in a scope of systemd's own, which a restart of the toolstack does not end.
#ifndef XLSTORE_TOOLS_XLSTORE_SCOPE_HPP_
#define XLSTORE_TOOLS_XLSTORE_SCOPE_HPP_

#include <string>
#include <vector>

#include "store/base/error.hpp"

namespace xlstore::tools {

/// The command that runs `own` (this program's command line) without its --scope in a scope named
/// after domid and pid, so that no earlier one is in its way. What stands behind "--" is QEMU's.
[[nodiscard]] std::vector<std::string> scope_command(std::vector<std::string> own,
                                                     const std::string& domid, long pid);
/// Becomes that command, and returns only if it cannot. Errors: refused (systemd does not run here,
/// or systemd-run is missing); nothing was changed.
[[nodiscard]] Error continue_in_scope(const std::string& domid);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLSTORE_SCOPE_HPP_
