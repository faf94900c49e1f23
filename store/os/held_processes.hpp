// SPDX-License-Identifier: MIT
// Processes that are asked about again and again, held by their pidfds. A look at a process costs
// 20 us, for whose /proc it is and for its start time; one that is held is that very process or
// nothing, and whether it has ended is one call.
#ifndef XLSTORE_STORE_OS_HELD_PROCESSES_HPP_
#define XLSTORE_STORE_OS_HELD_PROCESSES_HPP_

#include <cstddef>
#include <utility>
#include <vector>

#include "store/base/process_id.hpp"
#include "store/os/process.hpp"

namespace xlstore {

/// Of one thread. Keeps a descriptor for each of the last kMost that were alive.
class HeldProcesses {
public:
    static constexpr std::size_t kMost = 16;

    /// R11: as xlstore::life_of().
    [[nodiscard]] Life life_of(const ProcessId& id) noexcept;

private:
    std::vector<std::pair<ProcessId, PidFd>> held_;  // the one asked about last is the last
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_HELD_PROCESSES_HPP_
