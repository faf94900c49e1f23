// SPDX-License-Identifier: MIT
// What xlfsck found, as 'xlfsck --json' prints it: a line each, the summary
// last.
#ifndef XLSTORE_TOOLS_FLEET_FINDINGS_HPP_
#define XLSTORE_TOOLS_FLEET_FINDINGS_HPP_

#include <cstdint>
#include <optional>
#include <pqxx/pqxx>
#include <string>

#include "store/base/error.hpp"

namespace xlstore::fleet {

struct Findings {
    std::string json = "[]";  ///< as fleet.take_findings() takes them
    std::int64_t status = 0, found = 0;
};

/// Of a file, or "-"; nothing for "". Secrets are taken out, unless
/// `with_secrets`. Errors: invalid (no summary: it is not whole), io.
Result<std::optional<Findings>> read_findings(const std::string& path, bool with_secrets);
/// They replace what the fleet has of this host. Errors: as push.
Result<void> send_findings(pqxx::connection& database, const Findings& findings);

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_FINDINGS_HPP_
