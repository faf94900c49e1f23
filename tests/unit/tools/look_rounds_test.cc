// SPDX-License-Identifier: MIT
// A QEMU that is silent is asked less and less often, and as ever once it answers.
#include "tools/xlstore/look_rounds.hpp"

#include <gtest/gtest.h>

namespace xlstore::tools {
namespace {

using std::chrono::seconds;

TEST(LookScheduleTest, SilentOnesAreLeftAloneForLonger)
{
    LookSchedule schedule;
    LookClock::time_point now{};
    EXPECT_TRUE(schedule.is_due(1, now));
    std::string waits;
    for (int i = 0; i < 8; ++i) {
        const auto wait = schedule.asked(1, true, now);
        waits += std::to_string(wait.count()) + " ";
        EXPECT_FALSE(schedule.is_due(1, now + wait - seconds(1)));
        EXPECT_TRUE(schedule.is_due(1, now + wait));
        EXPECT_TRUE(schedule.is_due(2, now)) << "the others are not held up";
        now += wait;
    }
    EXPECT_EQ(waits, "2 4 8 16 32 60 60 60 ");
}

TEST(LookScheduleTest, AnAnswerEndsIt)
{
    LookSchedule schedule;
    const LookClock::time_point now{};
    for (int i = 0; i < 5; ++i)
        schedule.asked(1, true, now);
    EXPECT_EQ(schedule.asked(1, false, now), kLookEvery);
    EXPECT_EQ(schedule.asked(1, true, now), 2 * kLookEvery);
}

TEST(LookScheduleTest, ThoseThatWentAreForgotten)
{
    LookSchedule schedule;
    const LookClock::time_point now{};
    schedule.asked(1, true, now);
    schedule.asked(2, true, now);
    schedule.keep_only({2});
    EXPECT_TRUE(schedule.is_due(1, now));
    EXPECT_FALSE(schedule.is_due(2, now));
}

}  // namespace
}  // namespace xlstore::tools
