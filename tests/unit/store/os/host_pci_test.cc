// SPDX-License-Identifier: MIT
#include "store/os/host_pci.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/scratch_directory.hpp"

namespace xlstore {
namespace {

TEST(HostPciTest, OnlyWhatPcibackHasCanBeGivenAway)
{
    const test::ScratchDirectory directory;
    const std::string sysfs = directory / "sys";
    const std::string bus = sysfs + "/bus/pci/";
    for (const char* made : {"drivers/pciback/0000:03:00.0", "devices/0000:03:00.0",
                             "devices/0000:04:00.0", "devices/0000:05:00.0", "drivers/e1000e"})
        std::filesystem::create_directories(bus + made);
    std::filesystem::create_symlink("../../drivers/e1000e", bus + "devices/0000:04:00.0/driver");
    EXPECT_TRUE(check_assignable(sysfs, "0000:03:00.0"));
    for (const auto& [address, why] : {std::pair{"0000:04:00.0", "the driver e1000e"},
                                       {"0000:05:00.0", "has no driver"},
                                       {"0000:06:00.0", "the host has no PCI device"}}) {
        const auto refused = check_assignable(sysfs, address);
        ASSERT_FALSE(refused) << address;
        EXPECT_EQ(refused.error().code, Errc::refused);
        EXPECT_NE(refused.error().message.find(why), std::string::npos) << refused.error().message;
    }
}

}  // namespace
}  // namespace xlstore
