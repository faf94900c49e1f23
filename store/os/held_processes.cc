// SPDX-License-Identifier: MIT
#include "store/os/held_processes.hpp"

#include <algorithm>
#include <exception>

namespace xlstore {

Life HeldProcesses::life_of(const ProcessId& id) noexcept
{
    try {
        auto it = std::ranges::find(held_, id, [](const auto& one) { return one.first; });
        if (it == held_.end()) {
            auto held = open_pidfd(id);
            if (!held) return xlstore::life_of(id);
            if (held_.size() == kMost) held_.erase(held_.begin());
            held_.emplace_back(id, *std::move(held));
            return Life::alive;
        }
        if (it->second.dead()) {
            held_.erase(it);
            return Life::dead;
        }
        std::rotate(it, it + 1, held_.end());
        return Life::alive;
    } catch (const std::exception&) {
        return Life::unknown;  // could not look; never a guess towards death
    }
}

}  // namespace xlstore
