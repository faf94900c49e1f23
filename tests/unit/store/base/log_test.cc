// SPDX-License-Identifier: MIT
#include "store/base/log.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace xlstore {
namespace {

TEST(Log, HandsOverLinesOfItsLevelAndAbove)
{
    std::vector<std::string> lines;
    const Log log(
        [&](LogLevel level, std::string_view line) {
            lines.push_back(std::to_string(static_cast<int>(level)) + " " + std::string(line));
        },
        LogLevel::info);
    log.write(LogLevel::debug, "decision");
    log.write(LogLevel::info, "change");
    log.write(LogLevel::error, "given up {} %s");
    EXPECT_EQ(lines, (std::vector<std::string>{"1 change", "3 given up {} %s"}));
}

TEST(Log, LineThatCannotBeWrittenEndsNothing)
{
    int calls = 0;
    const Log log(
        [&](LogLevel, std::string_view) {
            ++calls;
            throw std::runtime_error("full");
        },
        LogLevel::debug);
    log.write(LogLevel::info, "one");
    log.write(LogLevel::info, "two");
    EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace xlstore
