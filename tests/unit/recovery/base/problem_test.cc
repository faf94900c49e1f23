// SPDX-License-Identifier: MIT
#include "recovery/base/problem.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

namespace xlstore::recovery {
namespace {

// Codes are permanent: scripts and reports know them by number and by name.
TEST(ProblemTest, CodesAscendAndAreTheirPassTimesAThousand)
{
    int last = 0;
    for (const auto& row : problems()) {
        const int code = static_cast<int>(row.code);
        EXPECT_GT(code, last) << row.name;
        EXPECT_LE(code / 1000, 7) << row.name;
        EXPECT_NE(code % 1000, 0) << row.name;
        EXPECT_EQ(&problem(row.code), &row);
        last = code;
    }
}

TEST(ProblemTest, NamesAreUniqueWords)
{
    std::set<std::string_view> seen;
    for (const auto& row : problems()) {
        EXPECT_TRUE(seen.insert(row.name).second) << row.name;
        EXPECT_TRUE(std::all_of(row.name.begin(), row.name.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || c == '_';
        })) << row.name;
    }
}

TEST(ProblemTest, MessagesFollowTheirSubject)
{
    for (const auto& row : problems()) {
        ASSERT_FALSE(row.message.empty()) << row.name;
        EXPECT_NE(row.message.back(), '.') << row.name;
        EXPECT_EQ(row.message.find('\n'), std::string_view::npos) << row.name;
    }
}

TEST(ProblemTest, WhatCanBeFixedHasAQuestionAndAWordForIt)
{
    for (const auto& row : problems()) {
        EXPECT_EQ(row.question.empty(), row.fixed.empty()) << row.name;
        if (row.question.empty()) {
            EXPECT_FALSE(row.preen) << row.name << ": there is nothing that preen could do";
            continue;
        }
        EXPECT_TRUE(row.question[0] >= 'A' && row.question[0] <= 'Z') << row.name;
        EXPECT_NE(row.question.back(), '?') << row.name << ": the caller that asks adds it";
        EXPECT_TRUE(std::none_of(row.fixed.begin(), row.fixed.end(), [](char c) {
            return c >= 'a' && c <= 'z';
        })) << row.name;
    }
}

// What a live owner is at work on sets no bit; what could not be looked at does.
TEST(ProblemTest, ExitBitsAreThoseOfFsck)
{
    for (const auto& row : problems()) {
        const auto bit = static_cast<unsigned>(row.if_left);
        EXPECT_TRUE(bit == 0 || bit == 2 || bit == 4 || bit == 8) << row.name;
        if (row.name.ends_with("_owned")) {
            EXPECT_EQ(bit, 0U) << row.name;
        }
    }
    EXPECT_EQ(problem(Code::intent_waits).if_left, Exit::outside);
    EXPECT_EQ(problem(Code::intent_in_doubt).if_left, Exit::blind);
    EXPECT_EQ(problem(Code::qemu_unseen).if_left, Exit::blind);
}

}  // namespace
}  // namespace xlstore::recovery
