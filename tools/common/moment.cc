// SPDX-License-Identifier: MIT
#include "tools/common/moment.hpp"

#include <array>
#include <ctime>
#include <optional>
#include <utility>

#include "store/text/json_text.hpp"
#include "store/text/number_text.hpp"

namespace xlstore::tools {

namespace {

constexpr std::int64_t kSecond = 1'000'000;  // in microseconds
constexpr std::int64_t kMinute = 60;         // these in seconds
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;

std::string formatted(std::int64_t us, const char* format)
{
    const std::time_t seconds = us / kSecond;
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    std::array<char, 40> text{};
    (void)std::strftime(text.data(), text.size(), format, &utc);
    return text.data();
}

std::optional<std::int64_t> unit_of(std::string_view word)
{
    constexpr std::array<std::pair<std::string_view, std::int64_t>, 10> units = {
        {{"s", 1},
         {"sec", 1},
         {"m", kMinute},
         {"min", kMinute},
         {"h", kHour},
         {"hours", kHour},
         {"d", kDay},
         {"days", kDay},
         {"w", 7 * kDay},
         {"weeks", 7 * kDay}}};
    for (const auto& [name, seconds] : units)
        if (name == word) return seconds;
    return std::nullopt;
}

// "2h", "90 s".
std::optional<std::int64_t> span_of(std::string_view word)
{
    const auto digits = word.find_first_not_of("0123456789");
    if (digits == 0 || digits == std::string_view::npos) return std::nullopt;
    const auto letters = word.find_first_not_of(' ', digits);
    if (letters == std::string_view::npos) return std::nullopt;
    const auto number = parse_number<std::int32_t>(word.substr(0, digits));
    const auto unit = unit_of(word.substr(letters));
    if (!number || !unit) return std::nullopt;
    return *number * *unit;
}

// The whole of `word`, as strptime() reads it.
std::optional<std::int64_t> read_as(const std::string& word, const char* format, std::tm start)
{
    const char* const end = strptime(word.c_str(), format, &start);
    if (!end || *end != '\0') return std::nullopt;
    start.tm_isdst = 0;
    return static_cast<std::int64_t>(timegm(&start)) * kSecond;
}

std::optional<std::int64_t> date_of(std::string_view given, std::int64_t now_us)
{
    std::string word(given);
    if (word.ends_with(" UTC")) word.resize(word.size() - 4);
    if (word.ends_with('Z')) word.pop_back();
    const std::time_t now = now_us / kSecond;
    std::tm today{};
    gmtime_r(&now, &today);
    today.tm_hour = today.tm_min = today.tm_sec = 0;
    for (const char* format : {"%H:%M:%S", "%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M",
                               "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"})
        if (const auto at = read_as(word, format, today)) return at;
    return std::nullopt;
}

}  // namespace

std::string moment_text(std::int64_t us)
{
    return formatted(us, "%Y-%m-%d %H:%M:%S UTC");
}

std::string hour_text(std::int64_t us)
{
    return formatted(us, "%H:%M:%S UTC");
}

std::string duration_text(std::int64_t seconds)
{
    if (seconds < kMinute) return std::to_string(seconds < 0 ? 0 : seconds) + " s";
    if (seconds < kHour) return std::to_string(seconds / kMinute) + " min";
    const bool days = seconds >= kDay;
    const std::int64_t large = days ? kDay : kHour;
    const std::int64_t small = days ? kHour : kMinute;
    std::string text = std::to_string(seconds / large) + (days ? " d" : " h");
    if (const auto rest = seconds % large / small; rest > 0)
        text += " " + std::to_string(rest) + (days ? " h" : " min");
    return text;
}

std::string moment_and_age(std::int64_t us, std::int64_t now_us)
{
    const auto seconds = (now_us - us) / kSecond;
    return moment_text(us) + (seconds < 0 ? ", which is to come"
                                          : ", " + duration_text(seconds) + " ago");
}

Result<std::int64_t> parse_moment(std::string_view word, std::int64_t now_us)
{
    const std::int64_t midnight = now_us / kSecond / kDay * kDay * kSecond;
    if (word == "now") return now_us;
    if (word == "today") return midnight;
    if (word == "yesterday") return midnight - kDay * kSecond;
    if (const auto span = span_of(word)) return now_us - *span * kSecond;
    if (word.starts_with('@'))
        if (const auto seconds = parse_number<std::int64_t>(word.substr(1));
            seconds && *seconds < std::int64_t{1} << 40)
            return *seconds * kSecond;
    if (const auto date = date_of(word, now_us)) return *date;
    return Error(Errc::invalid, json_shown(std::string(word)) + " is no time",
                 "such as 2h, 30min, 1d, today, 22:33, 2026-11-29, '2026-11-29 22:33' (UTC)");
}

}  // namespace xlstore::tools
