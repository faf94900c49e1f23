// SPDX-License-Identifier: MIT
// Tests lean on the daemon and on the way into it.
#include "tests/support/scratch_xenstored.hpp"

#include <gtest/gtest.h>

#include "tests/support/scratch_directory.hpp"

namespace xlstore::test {
namespace {

class ScratchXenstoredTest : public testing::Test {
protected:
    void SetUp() override { XLSTORE_NEEDS_XENSTORED(); }
    ScratchDirectory directory_;
};

const char* const kTree =
    "/libxl/7 = \"\"   (n0)\n"
    "/libxl/7/device = \"\"   (n0)\n"
    "/libxl/7/device/vbd = \"a \\\"b\\\" \\\\ \\001\\377\\000z\"   (n0,r7)\n";

TEST_F(ScratchXenstoredTest, WhatIsLoadedIsDumped)
{
    ScratchXenstored daemon(directory_ / "xs");
    daemon.tool().load(kTree);
    EXPECT_EQ(daemon.tool().dump("/libxl/7"), kTree);
    EXPECT_EQ(daemon.tool().read("/libxl/7/device/vbd"), std::string("a \"b\" \\ \1\377\0z", 12));
    EXPECT_EQ(daemon.tool().read("/libxl/8"), std::nullopt);
    EXPECT_EQ(daemon.tool().list("/libxl/7"), std::vector<std::string>{"device"});
    daemon.tool().remove("/libxl");
    EXPECT_EQ(daemon.tool().dump("/libxl"), "");
}

// More than fits into one reply.
TEST_F(ScratchXenstoredTest, LongListIsReadInParts)
{
    ScratchXenstored daemon(directory_ / "xs");
    for (int i = 0; i < 600; ++i)
        daemon.tool().write("/long/a-name-of-some-length-" + std::to_string(i), "");
    EXPECT_EQ(daemon.tool().list("/long").size(), 600u);
}

TEST_F(ScratchXenstoredTest, DomainsAreIntroducedAndReleased)
{
    ScratchXenstored daemon(directory_ / "xs");
    EXPECT_THROW(daemon.tool().release(7), std::runtime_error);
    daemon.tool().introduce(7);
    daemon.tool().release(7);
}

TEST_F(ScratchXenstoredTest, KilledOneHasForgottenAll)
{
    ScratchXenstored daemon(directory_ / "xs");
    daemon.tool().write("/a", "b");
    daemon.kill();
    EXPECT_THROW((void)daemon.tool(), std::runtime_error);
    daemon.restart();
    EXPECT_EQ(daemon.tool().read("/a"), std::nullopt);
}

}  // namespace
}  // namespace xlstore::test
