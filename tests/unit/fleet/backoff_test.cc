// SPDX-License-Identifier: MIT
// Longer after each failure, never the same for two hosts, and short again once it went well.
#include "tools/fleet/backoff.hpp"

#include <gtest/gtest.h>

#include <string>

namespace xlstore::fleet {
namespace {

std::string waits(Backoff& backoff, double random, int tries)
{
    std::string text;
    for (int i = 0; i < tries; ++i)
        text += std::to_string(backoff.next(random).count()) + " ";
    return text;
}

TEST(BackoffTest, DoublesUpToAMinute)
{
    Backoff backoff;
    EXPECT_EQ(waits(backoff, 0.5, 9), "500 1000 2000 4000 8000 16000 32000 60000 60000 ");
    backoff.reset();
    EXPECT_EQ(waits(backoff, 0.5, 2), "500 1000 ");
}

TEST(BackoffTest, SpreadsFromHalfToOneAndAHalf)
{
    Backoff low;
    Backoff high;
    EXPECT_EQ(waits(low, 0, 3), "250 500 1000 ");
    EXPECT_EQ(waits(high, 1, 3), "750 1500 3000 ");
}

}  // namespace
}  // namespace xlstore::fleet
