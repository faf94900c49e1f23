// SPDX-License-Identifier: MIT
// What one transaction brings: lines of history on top of the last one, and
// states of domains.
#ifndef XLSTORE_TOOLS_FLEET_BATCH_HPP_
#define XLSTORE_TOOLS_FLEET_BATCH_HPP_

#include <cstdint>
#include <optional>
#include <string>

#include "tools/fleet/generation.hpp"
#include "tools/fleet/host_store.hpp"

namespace xlstore::fleet {

struct Batch {
    std::int64_t generation = 0;
    std::optional<Begin> begins;
    std::int64_t after = 0;
    std::int64_t line = 0;                                     ///< the last one
    std::optional<std::pair<std::int64_t, std::int64_t>> gap;  ///< pruned before they were sent
    bool told_of_restore = false;
    Snapshot snapshot;
};

/// Makes a batch of what was read: finds the gap, and ends before a line that
/// begins a generation.
[[nodiscard]] Batch make_batch(const Known& known, std::optional<Begin> begins, Snapshot snapshot);

/// As fleet.take() takes it. Valid UTF-8 without NUL, as PostgreSQL wants it:
/// what is not has question marks.
[[nodiscard]] std::string batch_json(const Batch& batch, const std::string& directory);

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_BATCH_HPP_
