// SPDX-License-Identifier: MIT
#include "store/core/initial_devices.hpp"

#include <gtest/gtest.h>

namespace xlstore {
namespace {

Drives::Drive drive(const std::string& id, const std::string& file)
{
    Drives::Drive made;
    made.id = id;
    if (!file.empty()) made.file = file;
    return made;
}

TEST(InitialDevicesTest, OfACreationAllThatIsThere)
{
    Inventory there;
    there.names["device"] = {{"nic", "e1000"}, {"#auto", "x"}};
    there.names["object"] = {{"io", "iothread"}};
    there.drives.drives = {drive("cd", "/a.iso"), drive("empty", "")};
    const auto initial = initial_of_creation(there);
    EXPECT_TRUE(initial.known());
    EXPECT_TRUE(initial.has("device", "nic"));
    EXPECT_TRUE(initial.has("object", "io"));
    EXPECT_FALSE(initial.has("device", "#auto"));  // QEMU's own, never asked for
    EXPECT_TRUE(initial.has_medium(drive("cd", "/a.iso")));
    EXPECT_FALSE(initial.has_medium(drive("cd", "/b.iso")));
    EXPECT_FALSE(initial.has_medium(drive("cd", "")));
    EXPECT_FALSE(initial.has_medium(drive("empty", "")));
}

TEST(InitialDevicesTest, OfACommandLineWhatItMadeAndIsThere)
{
    const auto line =
        parse_qemu_command_line({"-device", "e1000,id=nic", "-device", "e1000,id=unplugged",
                                 "-cdrom", "/a.iso", "-qmp", "x"},
                                [](const std::string&) { return std::nullopt; });
    Inventory there;
    there.names["device"] = {{"nic", "e1000"}, {"hot", "e1000"}};
    there.drives.drives = {drive("ide1-cd0", "/a.iso"), drive("other", "/b.iso")};
    const auto initial = initial_of_command_line(line, there);
    EXPECT_EQ(initial.from, InitialDevices::From::command_line);
    EXPECT_TRUE(initial.has("device", "nic"));
    EXPECT_FALSE(initial.has("device", "hot"));
    EXPECT_FALSE(initial.has("device", "unplugged"));
    EXPECT_TRUE(initial.has_medium(drive("ide1-cd0", "/a.iso")));
    EXPECT_FALSE(initial.has_medium(drive("other", "/b.iso")));
}

TEST(InitialDevicesTest, WhatACommandLineWithAGapDoesNotMakeIsNotKnown)
{
    const auto line = parse_qemu_command_line({"-device", "e1000,id=nic", "-readconfig", "gone"},
                                              [](const std::string&) { return std::nullopt; });
    Inventory there;
    there.names["device"] = {{"nic", "e1000"}, {"from-file-or-hot", "e1000"}};
    const auto initial = initial_of_command_line(line, there);
    EXPECT_FALSE(initial.known());
    EXPECT_TRUE(initial.has("device", "nic"));
    EXPECT_FALSE(initial.has("device", "from-file-or-hot"));
}

}  // namespace
}  // namespace xlstore
