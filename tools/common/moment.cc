// SPDX-License-Identifier: MIT
#include "tools/common/moment.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
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
    return *number * *unit;  // at most 2^31 weeks, which fit
}

// A number of `least` to `most` digits off the front of `word`.
std::optional<int> digits_of(std::string_view& word, std::size_t least, std::size_t most)
{
    const auto found = std::min(word.find_first_not_of("0123456789"), word.size());
    if (found < least || found > most) return std::nullopt;
    const auto number = parse_number<int>(word.substr(0, found));
    word.remove_prefix(found);
    return number;
}

bool take(std::string_view& word, char c)
{
    if (!word.starts_with(c)) return false;
    word.remove_prefix(1);
    return true;
}

// Seconds of "22:33[:13]".
std::optional<std::int64_t> hour_of(std::string_view word)
{
    const auto hour = digits_of(word, 1, 2);
    if (!hour || *hour > 23 || !take(word, ':')) return std::nullopt;
    const auto minute = digits_of(word, 2, 2);
    if (!minute || *minute > 59) return std::nullopt;
    int second = 0;
    if (take(word, ':')) {
        const auto given = digits_of(word, 2, 2);
        if (!given || *given > 59) return std::nullopt;
        second = *given;
    }
    if (!word.empty()) return std::nullopt;
    return *hour * kHour + *minute * kMinute + second;
}

// Days since 1970 of "2026-11-29" off the front of `word`; one that the calendar has.
std::optional<std::int64_t> day_of(std::string_view& word)
{
    const auto year = digits_of(word, 4, 4);
    if (!year || *year < 1970 || !take(word, '-')) return std::nullopt;
    const auto month = digits_of(word, 1, 2);
    if (!month || !take(word, '-')) return std::nullopt;
    const auto day = digits_of(word, 1, 2);
    if (!day) return std::nullopt;
    const std::chrono::year_month_day date(std::chrono::year(*year),
                                           std::chrono::month(static_cast<unsigned>(*month)),
                                           std::chrono::day(static_cast<unsigned>(*day)));
    if (!date.ok()) return std::nullopt;
    return std::chrono::sys_days(date).time_since_epoch().count();
}

std::optional<std::int64_t> date_of(std::string_view word, std::int64_t now_us)
{
    if (word.ends_with(" UTC"))
        word.remove_suffix(4);
    else if (word.ends_with('Z'))
        word.remove_suffix(1);
    if (const auto hour = hour_of(word)) return (now_us / kSecond / kDay * kDay + *hour) * kSecond;
    const auto day = day_of(word);
    if (!day) return std::nullopt;
    if (word.empty()) return *day * kDay * kSecond;
    if (!take(word, ' ') && !take(word, 'T')) return std::nullopt;
    const auto hour = hour_of(word);
    if (!hour) return std::nullopt;
    return (*day * kDay + *hour) * kSecond;
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
    if (const auto span = span_of(word)) {
        // Compared in seconds: a long one does not fit into microseconds.
        if (*span <= now_us / kSecond) return now_us - *span * kSecond;
        return Error(Errc::invalid,
                     json_shown(std::string(word)) + " goes back to before 1970",
                     "give a time " + std::string(kMoments));
    }
    if (word.starts_with('@'))
        if (const auto seconds = parse_number<std::int64_t>(word.substr(1));
            seconds && *seconds >= 0 && *seconds < std::int64_t{1} << 40)
            return *seconds * kSecond;
    if (const auto date = date_of(word, now_us)) return *date;
    return Error(Errc::invalid, json_shown(std::string(word)) + " is no time",
                 std::string(kMoments));
}

std::optional<double> parse_seconds(std::string_view word)
{
    constexpr double most = 1e6;
    double seconds = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), seconds,
                                              std::chars_format::fixed);
    if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
    if (!std::isfinite(seconds) || std::signbit(seconds) || seconds > most) return std::nullopt;
    return seconds;
}

}  // namespace xlstore::tools
