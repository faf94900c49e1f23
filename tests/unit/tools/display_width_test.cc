// SPDX-License-Identifier: MIT
// Columns, not bytes: what a person sees.
#include "tools/common/display_width.hpp"

#include <gtest/gtest.h>

namespace xlstore::tools {
namespace {

TEST(DisplayWidthTest, CountsColumns)
{
    EXPECT_EQ(display_width("web01"), 5U);
    EXPECT_EQ(display_width("büro"), 4U);
    EXPECT_EQ(display_width("日本"), 4U);        // two columns each
    EXPECT_EQ(display_width("e\u0301"), 1U);     // an accent of its own has none
    EXPECT_EQ(display_width("\xff\xfe"), 2U);    // bytes that are no UTF-8
    EXPECT_EQ(display_width("\x1b[1;31mx\x1b[0m"), 1U);
    EXPECT_EQ(display_width("\x1b[2J"), 4U) << "that is no colour, and ESC is no letter";
}

TEST(DisplayWidthTest, PadsAndCutsByColumns)
{
    EXPECT_EQ(padded("日本", 6), "日本  ");
    EXPECT_EQ(padded("long", 2), "long");
    EXPECT_EQ(cut_to("日本語", 5), "日本…");
    EXPECT_EQ(cut_to("日本語", 4), "日…");  // no half a letter
    EXPECT_EQ(cut_to("short", 5), "short");
    EXPECT_EQ(cut_to("short", 0), "");
}

TEST(DisplayWidthTest, WrapsBetweenWords)
{
    using Lines = std::vector<std::string>;
    EXPECT_EQ(wrapped("one two three", 7), (Lines{"one two", "three"}));
    EXPECT_EQ(wrapped("one two three", 8), (Lines{"one two", "three"}));
    EXPECT_EQ(wrapped("abcdefgh", 3), (Lines{"abc", "def", "gh"}));
    EXPECT_EQ(wrapped("日本語", 1), (Lines{"日", "本", "語"})) << "it goes on, too narrow or not";
    EXPECT_EQ(wrapped("", 5), (Lines{""}));
}

}  // namespace
}  // namespace xlstore::tools
