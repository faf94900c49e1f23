// SPDX-License-Identifier: MIT
#include "store/classes/device_model.hpp"

#include <gtest/gtest.h>

namespace xlstore {
namespace {

// The names that QEMU 7.2 gave on a Xen host, and those of its other back ends.
TEST(DeviceModelTest, WhatABackEndMadeIsItsOwn)
{
    for (const char* name :
         {"xen-console-0", "xen-vkbd-0", "xen-vfb-0", "xen-9pfs-3", "xen-qusb-12"})
        EXPECT_TRUE(is_of_device_model("device", name, "xen-backend")) << name;
    for (const char* name : {"xvda", "hdc", "xvdb", "xvdaa", "sdp", "d5"})
        EXPECT_TRUE(is_of_device_model("object", name, "iothread")) << name;
    EXPECT_TRUE(is_of_device_model("node", "xvda-raw", "raw"));
    EXPECT_TRUE(is_of_device_model("node", "hdc-qcow2", "qcow2"));
    EXPECT_TRUE(is_of_device_model("chardev", "xencons1", ""));
}

TEST(DeviceModelTest, ANameAloneIsNoProof)
{
    EXPECT_FALSE(is_of_device_model("device", "xen-console-0", "usb-tablet"));
    EXPECT_FALSE(is_of_device_model("device", "xen-pci-passthrough", "xen-backend"));
    EXPECT_FALSE(is_of_device_model("device", "xen--0", "xen-backend"));
    EXPECT_FALSE(is_of_device_model("object", "xvda", "throttle-group"));
    EXPECT_FALSE(is_of_device_model("object", "iothread0", "iothread"));
    EXPECT_FALSE(is_of_device_model("object", "hde", "iothread"));
    EXPECT_FALSE(is_of_device_model("node", "xvda-raw", "qcow2"));
    EXPECT_FALSE(is_of_device_model("node", "xvda", "raw"));
    EXPECT_FALSE(is_of_device_model("node", "disk-raw", "raw"));
    EXPECT_FALSE(is_of_device_model("chardev", "xencons", ""));
    EXPECT_FALSE(is_of_device_model("anonymous", "device[0]", "xen-backend"));
}

}  // namespace
}  // namespace xlstore
