// SPDX-License-Identifier: MIT
// A table is aligned by columns, one line a row for programs, and never wider than a terminal.
#include "tools/common/table.hpp"

#include <gtest/gtest.h>

#include "tools/common/display_width.hpp"

namespace xlstore::tools {
namespace {

const Cells kHead = {"DOMID", "NAME", "NOTE"};
const std::vector<Cells> kRows = {{"7", "büro", "one two three four five"}, {"12", "日本", "x"}};

Screen terminal(std::size_t columns)
{
    Screen screen;
    screen.terminal = true;
    screen.columns = columns;
    return screen;
}

TEST(TableTest, AlignsByColumns)
{
    const auto lines = table_lines(kHead, kRows, Screen());
    ASSERT_EQ(lines.size(), 3U);
    EXPECT_EQ(lines[0], "DOMID  NAME  NOTE");
    EXPECT_EQ(lines[1], "7      büro  one two three four five");
    EXPECT_EQ(lines[2], "12     日本  x");
    EXPECT_TRUE(table_lines(kHead, {}, Screen()).empty());
}

TEST(TableTest, BreaksTheLastColumnOnATerminal)
{
    const auto lines = table_lines(kHead, kRows, terminal(33));
    EXPECT_EQ(lines[1], "7      büro  one two three four");
    EXPECT_EQ(lines[2], "             five");
    EXPECT_EQ(table_lines(kHead, kRows, terminal(80)), table_lines(kHead, kRows, Screen()));
}

TEST(TableTest, IsNeverWiderThanATerminal)
{
    for (const std::size_t columns : {20, 25, 30, 35, 40})
        for (const auto& line : table_lines(kHead, kRows, terminal(columns)))
            EXPECT_LE(display_width(line), columns) << line;
    const auto blocks = table_lines(kHead, kRows, terminal(20));
    EXPECT_EQ(blocks[0], "DOMID  7");
    EXPECT_EQ(blocks[1], "NAME   büro");
}

TEST(TableTest, HasColoursOnlyWhereTheyAreWanted)
{
    Screen colours = terminal(80);
    colours.colours = true;
    EXPECT_NE(table_lines(kHead, kRows, colours)[0].find("\x1b["), std::string::npos);
    for (const auto& line : table_lines(kHead, kRows, terminal(80)))
        EXPECT_EQ(line.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace xlstore::tools
