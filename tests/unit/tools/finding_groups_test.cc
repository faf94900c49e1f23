// SPDX-License-Identifier: MIT
// Many findings of a kind are one line, few are a line each; -v names each.
#include "tools/xlfsck/finding_groups.hpp"

#include <gtest/gtest.h>

namespace xlstore::tools {
namespace {

using recovery::Action;
using recovery::Code;
using recovery::Finding;

std::vector<std::string> said_of(int number, bool each, Code code = Code::thing_unknown)
{
    const auto action = Action::fixed;
    std::vector<std::string> said;
    FindingGroups groups([&](const std::string& line) { said.push_back(line); }, each);
    for (int i = 0; i < number; ++i)
        groups.add(Finding{code, 7, {},
                           "domain 7 (web01): qemu/t" + std::to_string(i), "seen", action, {}});
    groups.add(Finding{Code::thing_absent, 7, {}, "domain 7 (web01): qemu/x", "seen", action, {}});
    groups.flush();
    return said;
}

TEST(FindingGroupsTest, FewHaveALineEach)
{
    const auto said = said_of(8, false);
    ASSERT_EQ(said.size(), 9U);
    EXPECT_EQ(said[0],
              "domain 7 (web01): qemu/t0: is in QEMU, and no entry says so (seen).  ADOPTED.");
}

TEST(FindingGroupsTest, ManyAreOne)
{
    const auto said = said_of(20, false);
    ASSERT_EQ(said.size(), 2U);
    EXPECT_TRUE(said[0].starts_with(
        "domain 7 (web01): 20 of a kind: is in QEMU, and no entry says so (qemu/t0, qemu/t1, "))
        << said[0];
    EXPECT_TRUE(said[0].ends_with("qemu/t18, qemu/t19; -v says of each what was seen).  ADOPTED."))
        << said[0];
    EXPECT_NE(said[1].find("qemu/x"), std::string::npos);
}

TEST(FindingGroupsTest, EachOnRequestAndEachLoss)
{
    EXPECT_EQ(said_of(20, false, Code::row_lost).size(), 21U);
    EXPECT_EQ(said_of(20, true).size(), 21U);
}

}  // namespace
}  // namespace xlstore::tools
