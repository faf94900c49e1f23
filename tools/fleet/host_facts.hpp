// SPDX-License-Identifier: MIT
// What a host says of itself with each push.
#ifndef XLSTORE_TOOLS_FLEET_HOST_FACTS_HPP_
#define XLSTORE_TOOLS_FLEET_HOST_FACTS_HPP_

#include <cstdint>
#include <string>

namespace xlstore::fleet {

/// /etc/machine-id; "" where there is none.
[[nodiscard]] std::string machine_id();

/// An object for fleet.take_facts(): names, versions, boot id, clock. `behind`: lines of history
/// that are left to send. `highest_id`: that any table of the store has given (R17).
[[nodiscard]] std::string host_facts(const std::string& directory, std::int64_t behind,
                                     std::int64_t highest_id);

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_HOST_FACTS_HPP_
