// SPDX-License-Identifier: MIT
// The units of systemd that belong to xlstore, as `systemctl show` tells of them.
#ifndef XLSTORE_TOOLS_COMMON_UNITS_HPP_
#define XLSTORE_TOOLS_COMMON_UNITS_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace xlstore::tools {

struct Unit {
    std::string name;
    std::string load;    ///< "loaded", "not-found", "masked"
    std::string active;  ///< "active", "inactive", "failed"
    std::string sub;     ///< "exited", "waiting", "dead"
    std::string result;  ///< of its last run: "success", "exit-code"
    std::string enabled;  ///< "enabled", "disabled", "static"; "": not known
    std::optional<int> status;            ///< exit status of the last run
    std::optional<std::int64_t> last_us;  ///< when it ended, or a timer last went off
    std::optional<std::int64_t> next_us;  ///< when a timer goes off next
};

/// What `systemctl show --timestamp=unix` printed: a block a unit. What it does not say is missing.
[[nodiscard]] std::vector<Unit> parse_units(std::string_view shown);
/// Asks systemctl. Nothing: systemd does not run here, or does not answer; `why` says which.
[[nodiscard]] std::optional<std::vector<Unit>> units_now(std::string& why);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_UNITS_HPP_
