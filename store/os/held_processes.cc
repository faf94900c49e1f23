// SPDX-License-Identifier: MIT
#include "store/os/held_processes.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <exception>

namespace xlstore {

namespace {

std::size_t descriptors_for_processes() noexcept
{
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return HeldProcesses::kLeast;
    return static_cast<std::size_t>(
        std::clamp<rlim_t>(limit.rlim_cur / HeldProcesses::kShareOfDescriptors,
                           HeldProcesses::kLeast, HeldProcesses::kMost));
}

}  // namespace

HeldProcesses::HeldProcesses() noexcept : most_(descriptors_for_processes()) {}

Life HeldProcesses::life_of(const ProcessId& id) noexcept
{
    try {
        const auto found = by_pid_.find(id.pid);
        if (found == by_pid_.end() || found->second->first != id) {
            auto held = open_pidfd(id);
            if (!held) return xlstore::life_of(id);
            hold(id, *std::move(held));
            return Life::alive;
        }
        const auto one = found->second;
        if (one->second.dead()) {
            let_go(one);
            return Life::dead;
        }
        held_.splice(held_.end(), held_, one);
        return Life::alive;
    } catch (const std::exception&) {
        return Life::unknown;  // could not look; never a guess towards death
    }
}

void HeldProcesses::hold(const ProcessId& id, PidFd held)
{
    // Another of that number has ended.
    if (const auto former = by_pid_.find(id.pid); former != by_pid_.end()) let_go(former->second);
    if (held_.size() == most_) let_go(held_.begin());
    const auto one = held_.emplace(held_.end(), id, std::move(held));
    try {
        by_pid_.emplace(id.pid, one);
    } catch (...) {
        held_.erase(one);
        throw;
    }
}

void HeldProcesses::let_go(Held::iterator one)
{
    by_pid_.erase(one->first.pid);
    held_.erase(one);
}

}  // namespace xlstore
