// SPDX-License-Identifier: MIT
#include "store/operation/libxl_nodes.hpp"

#include <gtest/gtest.h>

namespace xlstore {
namespace {

std::string written(const char* device_class, const char* key, const char* json, bool there,
                    const char* usb_port = "")
{
    std::string text;
    for (const auto& change :
         libxl_nodes_of(ThingName{device_class, key}, json, 7, there, usb_port))
        text += change.path + (change.value ? "=" + *change.value : " goes") + ";";
    return text;
}

// As `xl usbctrl-attach`, `xl usbdev-attach` and `xl vcpu-set` of a real Xen 4.17 left them.
TEST(LibxlNodesTest, AreThoseOfLibxl)
{
    EXPECT_EQ(written("usbctrls", "1", R"({"type":"devicemodel","devid":1,"version":1})", true),
              "/libxl/7/device/vusb/1/type=devicemodel;/libxl/7/device/vusb/1/usb-ver=1;"
              "/libxl/7/device/vusb/1/num-ports=2;/libxl/7/device/vusb/1/port/1=;"
              "/libxl/7/device/vusb/1/port/2=;");
    EXPECT_EQ(written("usbctrls", "1", R"({"devid":1})", false), "/libxl/7/device/vusb/1 goes;");
    const char* device = R"({"ctrl":0,"port":2,"type.hostdev":{"hostbus":1,"hostaddr":4}})";
    EXPECT_EQ(written("usbdevs", "0.2", device, true, "1-4"), "/libxl/7/device/vusb/0/port/2=1-4;");
    EXPECT_EQ(written("usbdevs", "0.2", device, false), "/libxl/7/device/vusb/0/port/2=;");
    EXPECT_EQ(written("vcpus", "3", "{}", true), "/local/domain/7/cpu/3/availability=online;");
    EXPECT_EQ(written("vcpus", "3", "{}", false), "/local/domain/7/cpu/3/availability=offline;");
}

TEST(LibxlNodesTest, WhatLibxlDoesNotKnowHasNone)
{
    EXPECT_EQ(written("usbdevs", "0.2", R"({"type.emulated":{"driver":"usb-tablet"}})", true), "");
    EXPECT_EQ(written("usbdevs", "0.2", R"({"type.hostdev":{}})", true), "") << "no name is known";
    EXPECT_EQ(written("usbctrls", "#3", "{}", true), "");
    EXPECT_EQ(written("qemu", "tab", "{}", true), "");
    EXPECT_EQ(written("disks", "hdc", "{}", false), "");
}

}  // namespace
}  // namespace xlstore
