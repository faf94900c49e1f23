// SPDX-License-Identifier: MIT
#include "store/os/host_usb.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "store/operation/host_usb_port.hpp"
#include "tests/support/scratch_directory.hpp"

namespace xlstore {
namespace {

class HostUsbTest : public testing::Test {
protected:
    // What is plugged into the port "1-1.4" has that address now.
    void plug_in(const std::string& address)
    {
        const std::string device = sysfs_ + "/bus/usb/devices/1-1.4/";
        std::filesystem::create_directories(device);
        test::write_file(device + "busnum", "1\n");
        test::write_file(device + "devnum", address + "\n");
    }
    std::string addressed(const char* json)
    {
        const auto whole = with_usb_address(sysfs_, "usbdevs", json);
        return whole ? *whole : "refused: " + whole.error().message;
    }

    test::ScratchDirectory directory_;
    std::string sysfs_ = directory_ / "sys";
};

TEST_F(HostUsbTest, APortIsFoundAgainAfterAReplug)
{
    const char* json = R"({"ctrl":0,"port":1,"type.hostdev":{"busid":"1-1.4"}})";
    plug_in("4");
    const std::string first =
        R"({"ctrl":0,"port":1,"type.hostdev":{"hostbus":1,"hostaddr":4,"busid":"1-1.4"}})";
    EXPECT_EQ(addressed(json), first);
    plug_in("123");
    EXPECT_EQ(addressed(first.c_str()),
              R"({"ctrl":0,"port":1,"type.hostdev":{"hostbus":1,"hostaddr":123,"busid":"1-1.4"}})");
    // By bus and address it is what was asked for.
    const char* by_address = R"({"ctrl":0,"port":1,"type.hostdev":{"hostbus":1,"hostaddr":4}})";
    EXPECT_EQ(addressed(by_address), by_address);
}

TEST_F(HostUsbTest, AReplugIsNoticed)
{
    const char* json = R"({"type.hostdev":{"hostbus":1,"hostaddr":4,"busid":"1-1.4"}})";
    const auto said = [&](const char* of) -> std::string {
        return plugged_in_anew(sysfs_, "usbdevs", of).value_or("");
    };
    EXPECT_EQ(said(json), "") << "sysfs shows nothing at all";
    plug_in("4");
    EXPECT_EQ(said(json), "");
    EXPECT_EQ(find_usb_port(sysfs_, HostUsb{1, 4}), "1-1.4");
    EXPECT_EQ(find_usb_port(sysfs_, HostUsb{1, 5}), std::nullopt);
    plug_in("9");
    EXPECT_EQ(said(json), "the host's USB port 1-1.4 has device 1:9 now, and QEMU was given 1:4");
    std::filesystem::remove_all(sysfs_ + "/bus/usb/devices/1-1.4");
    EXPECT_EQ(said(json), "the host's USB port 1-1.4 has no device now, and QEMU was given 1:4");
    EXPECT_EQ(said(R"({"type.hostdev":{"hostbus":1,"hostaddr":4}})"), "");
}

TEST_F(HostUsbTest, WhatIsNotThereIsSaid)
{
    EXPECT_EQ(addressed(R"({"type.hostdev":{"busid":"1-2"}})"),
              "refused: usbdevs: nothing is plugged into the host's USB port 1-2");
    for (const char* name : {"", "1", "1-", "-1", "1-1.", "1-..", "1-1/../2-1", "usb1", "1-1:1.0",
                             "1234-1", "1 -1"}) {
        EXPECT_FALSE(is_usb_port(name)) << name;
        EXPECT_FALSE(find_usb_device(sysfs_, name)) << name;
    }
    EXPECT_TRUE(is_usb_port("12-3.4.10"));
}

}  // namespace
}  // namespace xlstore
