// SPDX-License-Identifier: MIT
#include "store/classes/hotplug_script.hpp"

#include <gtest/gtest.h>

#include <map>

namespace xlstore {
namespace {

using Nodes = std::map<std::string, std::string, std::less<>>;

std::optional<ScriptedDevice> device_at(const std::string& back, const Nodes& nodes)
{
    return scripted_device(back, [&](std::string_view key) -> std::optional<std::string> {
        const auto found = nodes.find(key);
        if (found == nodes.end()) return std::nullopt;
        return found->second;
    });
}

std::string shown(const std::vector<ScriptRun>& runs)
{
    std::string text;
    for (const auto& run : runs) {
        for (const auto& word : run.argv)
            text += word + " ";
        for (const auto& variable : run.environment)
            text += "\n  " + variable;
        text += "\n";
    }
    return text;
}

TEST(HotplugScriptTest, ANicHasTheArgumentsAndTheEnvironmentOfLibxl)
{
    const auto nic = device_at("/local/domain/0/backend/vif/7/2",
                               {{"script", "/s/vif-bridge"}, {"type", "vif"}});
    ASSERT_TRUE(nic);
    const std::string environment =
        "\n  script=/s/vif-bridge\n  XENBUS_TYPE=vif\n  XENBUS_PATH=backend/vif/7/2"
        "\n  XENBUS_BASE_PATH=backend\n  netdev=\n  vif=vif7.2\n";
    EXPECT_EQ(shown(script_runs(*nic, ScriptAction::add, false)),
              "/s/vif-bridge online type_if=vif " + environment);
    EXPECT_EQ(shown(script_runs(*nic, ScriptAction::remove, false)),
              "/s/vif-bridge offline type_if=vif " + environment);
    EXPECT_EQ(place_of_script(nic->back), "backend/vif/7/2");
}

TEST(HotplugScriptTest, OnlyADeviceThatMayHaveAScriptHasAPlaceForIt)
{
    EXPECT_EQ(place_of_script("/local/domain/0/backend/vbd/7/51712"), "backend/vbd/7/51712");
    for (const auto* back :
         {"", "/local/domain/3/backend/vif/7/0", "/local/domain/0/backend/qdisk/7/0",
          "/local/domain/0/backend/vif/7", "/local/domain/0/backend/vif/7/0/x"})
        EXPECT_EQ(place_of_script(back), "") << back;
}

// libxl runs it a second time for the interface of the device model, unless a stub domain has that.
TEST(HotplugScriptTest, AnEmulatedNicHasASecondRun)
{
    const auto nic =
        device_at("/local/domain/0/backend/vif/7/0",
                  {{"script", "/s/vif"}, {"type", "vif_ioemu"}, {"gatewaydev", "eth0"}});
    ASSERT_TRUE(nic);
    const std::string environment =
        "\n  script=/s/vif\n  XENBUS_TYPE=vif\n  XENBUS_PATH=backend/vif/7/0"
        "\n  XENBUS_BASE_PATH=backend\n  netdev=eth0\n  INTERFACE=vif7.0-emu\n  vif=vif7.0\n";
    EXPECT_EQ(shown(script_runs(*nic, ScriptAction::add, false)),
              "/s/vif online type_if=vif " + environment + "/s/vif add type_if=tap " + environment);
    EXPECT_EQ(
        shown(script_runs(*nic, ScriptAction::remove, false)),
        "/s/vif offline type_if=vif " + environment + "/s/vif remove type_if=tap " + environment);
    EXPECT_EQ(script_runs(*nic, ScriptAction::add, true).size(), 1U);
}

TEST(HotplugScriptTest, ABlockDeviceIsAddedAndRemoved)
{
    const auto disk = device_at("/local/domain/0/backend/vbd/7/51712", {{"script", "/s/block"}});
    ASSERT_TRUE(disk);
    const std::string environment =
        "\n  script=/s/block\n  XENBUS_TYPE=vbd\n  XENBUS_PATH=backend/vbd/7/51712"
        "\n  XENBUS_BASE_PATH=backend\n";
    EXPECT_EQ(shown(script_runs(*disk, ScriptAction::add, false)), "/s/block add " + environment);
    EXPECT_EQ(shown(script_runs(*disk, ScriptAction::remove, true)),
              "/s/block remove " + environment);
}

TEST(HotplugScriptTest, WhatHasNoneHasNone)
{
    const Nodes script = {{"script", "/s/x"}};
    EXPECT_FALSE(device_at("/local/domain/3/backend/vif/7/0", script)) << "a driver domain's";
    EXPECT_FALSE(device_at("/local/domain/0/backend/qdisk/7/51712", script)) << "QEMU's";
    EXPECT_FALSE(device_at("/local/domain/0/backend/vtpm/7/0", script));
    EXPECT_FALSE(device_at("/local/domain/0/backend/vif/7", script)) << "no device's path";
    EXPECT_FALSE(device_at("/local/domain/0/backend/vif/7/0", {}));
    EXPECT_FALSE(device_at("/local/domain/0/backend/vif/7/0", {{"script", "x"}})) << "relative";
}

}  // namespace
}  // namespace xlstore
