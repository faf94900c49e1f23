// SPDX-License-Identifier: MIT
// Times as people read and write them. Absolute ones are UTC and say so: a host's log is read on
// other hosts.
#ifndef XLSTORE_TOOLS_COMMON_MOMENT_HPP_
#define XLSTORE_TOOLS_COMMON_MOMENT_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/error.hpp"

namespace xlstore::tools {

/// "2026-11-29 22:33:13 UTC". `us`: microseconds since 1970.
[[nodiscard]] std::string moment_text(std::int64_t us);
/// "22:33:13 UTC".
[[nodiscard]] std::string hour_text(std::int64_t us);
/// "0 s", "5 min", "2 h 5 min", "4 d 3 h": two units at most. Less than none is none.
[[nodiscard]] std::string duration_text(std::int64_t seconds);
/// "2026-11-29 22:33:13 UTC, 5 min ago".
[[nodiscard]] std::string moment_and_age(std::int64_t us, std::int64_t now_us);
/// Microseconds since 1970 of "2h", "30min", "90s", "1d", "2w" (that long before `now_us`), "now",
/// "today", "yesterday", "22:33[:13]" (today), "2026-11-29[ 22:33[:13]]" (a T may stand between, a
/// Z or UTC behind), "@1700000000" (seconds since 1970); all in UTC. What the calendar does not
/// have (2026-02-30) and what was before 1970 is none. Error: invalid, its advice ends in kMoments.
[[nodiscard]] Result<std::int64_t> parse_moment(std::string_view word, std::int64_t now_us);
inline constexpr std::string_view kMoments =
    "such as 2h, 30min, 1d, today, 22:33, 2026-11-29, '2026-11-29 22:33' (UTC)";
/// Seconds from 0 to 1 000 000, with a fraction or without: the whole of `word`, and no exponent.
[[nodiscard]] std::optional<double> parse_seconds(std::string_view word);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_MOMENT_HPP_
