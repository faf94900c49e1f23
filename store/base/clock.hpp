// SPDX-License-Identifier: MIT
// The time of day, for what is kept and shown, and the time of this boot. Deadlines are taken from
// another clock (store/event/loop.hpp).
#ifndef XLSTORE_STORE_BASE_CLOCK_HPP_
#define XLSTORE_STORE_BASE_CLOCK_HPP_

#include <cstdint>

namespace xlstore {

/// Wall clock, microseconds since 1970 UTC.
[[nodiscard]] std::int64_t now_us();
/// Microseconds since this machine was started, also over a suspension: setting the clock does not
/// change it.
[[nodiscard]] std::int64_t since_boot_us();

}  // namespace xlstore

#endif  // XLSTORE_STORE_BASE_CLOCK_HPP_
