// SPDX-License-Identifier: MIT
#include "store/model/domain_row.hpp"

#include <array>

namespace xlstore {

namespace {

constexpr std::array<std::string_view, 4> kStates = {"creating", "running", "destroying",
                                                     "destroyed"};

}  // namespace

std::string_view state_name(DomainState state) noexcept
{
    const auto at = static_cast<std::size_t>(state);
    return at < kStates.size() ? kStates[at] : "unknown";
}

}  // namespace xlstore
