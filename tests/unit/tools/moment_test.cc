// SPDX-License-Identifier: MIT
// Times as people read and write them.
#include "tools/common/moment.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace xlstore::tools {
namespace {

constexpr std::int64_t kNow = 1'732'919'593'000'000;  // 2024-11-29 22:33:13 UTC

std::string read(std::string_view word)
{
    const auto at = parse_moment(word, kNow);
    return at ? moment_text(*at) : "no time";
}

TEST(MomentTest, SaysItsZone)
{
    EXPECT_EQ(moment_text(kNow), "2024-11-29 22:33:13 UTC");
    EXPECT_EQ(hour_text(kNow), "22:33:13 UTC");
    EXPECT_EQ(moment_and_age(kNow - 300'000'000, kNow), "2024-11-29 22:28:13 UTC, 5 min ago");
    EXPECT_EQ(moment_and_age(kNow + 1'000'000, kNow), "2024-11-29 22:33:14 UTC, which is to come");
}

TEST(MomentTest, DurationHasTwoUnitsAtMost)
{
    EXPECT_EQ(duration_text(-1), "0 s");
    EXPECT_EQ(duration_text(59), "59 s");
    EXPECT_EQ(duration_text(3599), "59 min");
    EXPECT_EQ(duration_text(7500), "2 h 5 min");
    EXPECT_EQ(duration_text(7200), "2 h");
    EXPECT_EQ(duration_text(4 * 86400 + 3 * 3600 + 59), "4 d 3 h");
}

TEST(MomentTest, ReadsSpansAndDates)
{
    EXPECT_EQ(read("2h"), "2024-11-29 20:33:13 UTC");
    EXPECT_EQ(read("90 s"), "2024-11-29 22:31:43 UTC");
    EXPECT_EQ(read("1d"), "2024-11-28 22:33:13 UTC");
    EXPECT_EQ(read("now"), moment_text(kNow));
    EXPECT_EQ(read("today"), "2024-11-29 00:00:00 UTC");
    EXPECT_EQ(read("yesterday"), "2024-11-28 00:00:00 UTC");
    EXPECT_EQ(read("22:30"), "2024-11-29 22:30:00 UTC");
    EXPECT_EQ(read("2024-02-29"), "2024-02-29 00:00:00 UTC");
    EXPECT_EQ(read("2024-11-29 22:33:13 UTC"), moment_text(kNow)) << "as it is printed";
    EXPECT_EQ(read("2024-11-29T22:33:13Z"), moment_text(kNow));
    EXPECT_EQ(read("@1732919593"), moment_text(kNow));
}

TEST(MomentTest, DoesNotGuess)
{
    for (const char* word : {"", "2", "2x", "2 ", "h", "-2h", "99999999999h", "2024-13-01", "25:00",
                             "2024-11-29 22:33 CET", "@", "@9999999999999999999", "soon"})
        EXPECT_EQ(read(word), "no time") << word;
}

// A span that reaches further back than there is time is none, however long it is written.
TEST(MomentTest, SpanBefore1970IsNoTime)
{
    for (const char* word : {"200000000d", "110000000d", "2147483647w", "2147483647 days",
                             "60000 d", "500000h"})
        EXPECT_EQ(read(word), "no time") << word;
    const auto refused = parse_moment("200000000d", kNow);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "\"200000000d\" goes back to before 1970");
    EXPECT_EQ(refused.error().advice, "give a time " + std::string(kMoments));
    EXPECT_EQ(read("20056d"), "1970-01-01 22:33:13 UTC") << "the longest in days";
    EXPECT_EQ(read("1732919593s"), "1970-01-01 00:00:00 UTC");
    EXPECT_EQ(read("1732919594s"), "no time");
}

// What a calendar or a clock does not have is not taken for the day or the minute after it.
TEST(MomentTest, HasOnlyDaysOfTheCalendar)
{
    for (const char* word : {"2026-02-30",  "2023-02-29",        "2026-04-31",  "2026-00-10",
                             "2026-01-00",  "1969-12-31",        "22:60",       "24:00",
                             "22:33:60",    "2026-02-30 10:00",  "@-5",         "5-01-01",
                             "02026-01-01", "2026-11-2922:33",   " 22:30",      "22:30 ",
                             "+2026-01-01", "2026-01-01  22:30", "2026-01-01T", "2024-11-29Z UTC"})
        EXPECT_EQ(read(word), "no time") << word;
    EXPECT_EQ(read("2026-2-3"), "2026-02-03 00:00:00 UTC");
    EXPECT_EQ(read("@0"), "1970-01-01 00:00:00 UTC");
    EXPECT_EQ(read("9:05"), "2024-11-29 09:05:00 UTC");
}

TEST(MomentTest, ReadsSeconds)
{
    EXPECT_EQ(parse_seconds("0"), 0.0);
    EXPECT_EQ(parse_seconds("2.5"), 2.5);
    EXPECT_EQ(parse_seconds("1000000"), 1e6);
    for (const char* word : {"", "soon", "nan", "inf", "-1", "-0", "1e3", "0x10", " 5", "5 ", "5s",
                             "1000001", "1e999"})
        EXPECT_FALSE(parse_seconds(word)) << word;
}

TEST(MomentTest, DoesNotFollowTheZoneOfTheEnvironment)
{
    setenv("TZ", "America/New_York", 1);
    tzset();
    EXPECT_EQ(read("22:30"), "2024-11-29 22:30:00 UTC");
    EXPECT_EQ(moment_text(kNow), "2024-11-29 22:33:13 UTC");
    unsetenv("TZ");
    tzset();
}

}  // namespace
}  // namespace xlstore::tools
