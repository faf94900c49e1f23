// SPDX-License-Identifier: MIT
// What systemctl prints, read. The text is what systemd 252 (Debian 12) printed.
#include "tools/common/units.hpp"

#include <gtest/gtest.h>

namespace xlstore::tools {
namespace {

constexpr std::string_view kShown = R"(Result=success
ExecMainExitTimestamp=@1732919593
ExecMainStatus=1
Id=xlstore-recover.service
LoadState=loaded
ActiveState=active
SubState=exited
UnitFileState=enabled

LastTriggerUSec=@1732919600
NextElapseUSecRealtime=@1732950000
Result=success
Id=xlstore-prune.timer
LoadState=loaded
ActiveState=active
SubState=waiting
UnitFileState=enabled

Result=success
ExecMainExitTimestamp=
ExecMainStatus=0
Id=xlstore-look.service
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
)";

TEST(UnitsTest, AreReadAsSystemctlPrintsThem)
{
    const auto units = parse_units(kShown);
    ASSERT_EQ(units.size(), 3U);
    EXPECT_EQ(units[0].name, "xlstore-recover.service");
    EXPECT_EQ(units[0].sub, "exited");
    EXPECT_EQ(units[0].status, 1);
    EXPECT_EQ(units[0].last_us, 1'732'919'593'000'000);
    EXPECT_EQ(units[1].next_us, 1'732'950'000'000'000);
    EXPECT_EQ(units[1].last_us, 1'732'919'600'000'000);
    EXPECT_EQ(units[2].load, "not-found");
    EXPECT_FALSE(units[2].last_us);
    EXPECT_FALSE(units[2].next_us);
}

TEST(UnitsTest, WhatIsNoAnswerIsNoUnit)
{
    EXPECT_TRUE(parse_units("").empty());
    EXPECT_TRUE(parse_units("Failed to connect to bus: Host is down\n").empty());
    EXPECT_TRUE(parse_units("LoadState=loaded\n\n\n").empty()) << "it has no name";
    EXPECT_FALSE(parse_units("Id=a\nNextElapseUSecRealtime=@junk\n")[0].next_us);
}

}  // namespace
}  // namespace xlstore::tools
