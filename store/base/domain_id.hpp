// SPDX-License-Identifier: MIT
// An incarnation by the number of its row, which is never used again (R17).
#ifndef XLSTORE_STORE_BASE_DOMAIN_ID_HPP_
#define XLSTORE_STORE_BASE_DOMAIN_ID_HPP_

#include <cstdint>

namespace xlstore {

/// A row of `domain`: one incarnation.
enum class DomainId : std::int64_t {};
constexpr std::int64_t value_of(DomainId id)
{
    return static_cast<std::int64_t>(id);
}

}  // namespace xlstore

#endif  // XLSTORE_STORE_BASE_DOMAIN_ID_HPP_
