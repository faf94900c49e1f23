// SPDX-License-Identifier: MIT
// The time of day, for what is kept and shown. Deadlines are taken from another clock (Clock).
#ifndef XLSTORE_STORE_WALL_CLOCK_HPP_
#define XLSTORE_STORE_WALL_CLOCK_HPP_

#include <cstdint>

namespace xlstore {

/// Wall clock, microseconds since 1970 UTC.
[[nodiscard]] std::int64_t now_us();

}  // namespace xlstore

#endif  // XLSTORE_STORE_WALL_CLOCK_HPP_
