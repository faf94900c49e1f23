// SPDX-License-Identifier: MIT
// Processes that are asked about again and again, held by their pidfds. A look at a process costs
// 20 us, for whose /proc it is and for its start time; one that is held is that very process or
// nothing, and whether it has ended is one call.
#ifndef XLSTORE_STORE_OS_HELD_PROCESSES_HPP_
#define XLSTORE_STORE_OS_HELD_PROCESSES_HPP_

#include <cstddef>
#include <list>
#include <unordered_map>
#include <utility>

#include "store/base/process_id.hpp"
#include "store/os/process.hpp"

namespace xlstore {

/// Of one thread. Keeps a descriptor for each of the last that were alive.
class HeldProcesses {
public:
    /// So many of those that this process may have open, within bounds.
    static constexpr std::size_t kShareOfDescriptors = 8;
    static constexpr std::size_t kLeast = 16;
    static constexpr std::size_t kMost = 128;

    HeldProcesses() noexcept;

    /// R11: as xlstore::life_of().
    [[nodiscard]] Life life_of(const ProcessId& id) noexcept;

private:
    using Held = std::list<std::pair<ProcessId, PidFd>>;
    void hold(const ProcessId& id, PidFd held);
    void let_go(Held::iterator one);

    std::size_t most_;
    Held held_;  // the one asked about last is the last
    std::unordered_map<std::int64_t, Held::iterator> by_pid_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_HELD_PROCESSES_HPP_
