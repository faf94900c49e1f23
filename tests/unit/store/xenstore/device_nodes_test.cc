// SPDX-License-Identifier: MIT
#include "store/xenstore/device_nodes.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace xlstore::xenstore {
namespace {

XenstoreDevice nic()
{
    XenstoreDevice device;
    device.kind = "vif";
    device.backend_kind = "vif";
    device.number = 1;
    device.backend_domid = 2;
    device.back = {{"bridge", "b"}};
    device.front = {{"mac", "m"}};
    device.fixed = {{"mtu", "1500"}};
    return device;
}

TEST(DeviceNodes, StandWhereLibxlPutsThem)
{
    const auto paths = device_paths(7, nic());
    EXPECT_EQ(paths.own, "/libxl/7/device/vif/1");
    EXPECT_EQ(paths.front, "/local/domain/7/device/vif/1");
    EXPECT_EQ(paths.back, "/local/domain/2/backend/vif/7/1");
    EXPECT_EQ(listing_path(7, "vif"), "/libxl/7/device/vif");
    EXPECT_EQ(
        parents_of(paths),
        (std::vector<std::string>{"/local/domain/7/device/vif", "/libxl/7/device/vif"}));
}

TEST(DeviceNodes, LeaveNothingEmptyAboveThemAndTouchNoOther)
{
    using Nodes = std::vector<std::string>;
    EXPECT_EQ(parents_of("/local/domain/0/backend/vif/7/1"),
              (Nodes{"/local/domain/0/backend/vif/7", "/local/domain/0/backend/vif"}));
    EXPECT_EQ(parents_of("/local/domain/7/device/vif/1"), Nodes{"/local/domain/7/device/vif"});
    for (const auto* node : {"/local/domain/2/backend/vif/7/1", "/local/domain/0/backend/vif/7",
                             "/local/domain/0/backend/vif/7/1/state", "/libxl/7/device/vif",
                             "/libxl/7/device/vusb/0/port/1", "/libxl/7", "/vm/u", ""})
        EXPECT_EQ(parents_of(std::string(node)), Nodes()) << node;
}

TEST(DeviceNodes, OfADriverOfDomain0FollowFromLibxlsOwn)
{
    EXPECT_EQ(back_end_by_driver("/libxl/7/device/vif/1"), "/local/domain/0/backend/vif/7/1");
    for (const auto* node : {"", "/libxl/7/device/vif", "/libxl/x/device/vif/1", "/libxl/7",
                             "/libxl/7/device/vif/1/backend", "/local/domain/7/device/vif/1"})
        EXPECT_EQ(back_end_by_driver(node), "") << node;
}

// Each with its permissions; "": those of the node above it.
TEST(DeviceNodes, HaveLibxlsKeysAndPermissions)
{
    std::map<std::string, std::string> values;
    std::map<std::string, std::string> rights;
    for (const auto& request : requests_to_add(7, nic(), 9)) {
        EXPECT_EQ(request.transaction, 9U);
        if (request.kind == Kind::write) values[request.path] = request.rest;
        if (request.kind != Kind::set_permissions) continue;
        std::string text = request.rest;
        for (auto& c : text)
            if (c == '\0') c = ' ';
        rights[request.path] = text;
    }
    const std::string own = "/libxl/7/device/vif/1/";
    const std::string front = "/local/domain/7/device/vif/1/";
    const std::string back = "/local/domain/2/backend/vif/7/1/";
    const std::map<std::string, std::string> expected = {
        {own + "backend", "/local/domain/2/backend/vif/7/1"},
        {own + "bridge", "b"},
        {own + "frontend", "/local/domain/7/device/vif/1"},
        {own + "frontend-id", "7"},
        {own + "online", "1"},
        {own + "state", "1"},
        {front + "backend", "/local/domain/2/backend/vif/7/1"},
        {front + "backend-id", "2"},
        {front + "mac", "m"},
        {front + "mtu", "1500"},
        {front + "state", "1"},
        {back + "bridge", "b"},
        {back + "frontend", "/local/domain/7/device/vif/1"},
        {back + "frontend-id", "7"},
        {back + "online", "1"},
        {back + "state", "1"},
    };
    EXPECT_EQ(values, expected);
    const std::map<std::string, std::string> expected_rights = {
        {"/local/domain/2/backend/vif/7/1", "n2 r7 "},
        {"/local/domain/7/device/vif/1", "n7 r2 "},
        {front + "backend-id", "n7 r2 "},
        {front + "mac", "n7 r2 "},
        {front + "mtu", "n2 r7 "},
        {front + "state", "n7 r2 "},
    };
    EXPECT_EQ(rights, expected_rights);
}

// That domain's own toolstack takes it away.
TEST(DeviceNodes, BackEndOfADriverDomainIsNotRemoved)
{
    auto paths = device_paths(7, "vif", 0);
    const auto removed = [&] {
        std::vector<std::string> nodes;
        for (const auto& request : requests_to_remove(paths, 1))
            nodes.push_back(request.path);
        return nodes;
    };
    using Nodes = std::vector<std::string>;
    paths.back = "/local/domain/3/backend/vif/7/0";
    EXPECT_EQ(removed(), (Nodes{paths.front, paths.own}));
    EXPECT_EQ(parents_of(paths), (Nodes{"/local/domain/7/device/vif", "/libxl/7/device/vif"}));
    paths.back = "/local/domain/0/backend/vif/7/0";
    EXPECT_EQ(removed(), (Nodes{paths.front, paths.own, paths.back}));
    EXPECT_EQ(parents_of(paths),
              (Nodes{"/local/domain/7/device/vif", "/libxl/7/device/vif",
                     "/local/domain/0/backend/vif/7", "/local/domain/0/backend/vif"}));
    paths.back = "";
    EXPECT_EQ(removed(), (Nodes{paths.front, paths.own}));
}

TEST(DeviceNodes, OnlyAPathOfThatDevicesBackEndIsTakenForOne)
{
    EXPECT_TRUE(is_back_end_of("/local/domain/0/backend/qdisk/7/51712", 7, 51712));
    for (const auto* path :
         {"", "/", "/local/domain/0/backend/vif/7", "/local/domain/0/backend/vif/7/1/x",
          "/local/domain/0/backend/vif/8/1", "/local/domain/0/backend/vif/7/2",
          "/local/domain/x/backend/vif/7/1", "/local/domain/0/device/vif/7/1",
          "/local/domain/0/backend/../7/1", "/local/domain/0/backend//7/1", "/vm/0/backend/vif/7/1",
          "local/domain/0/backend/vif/7/1", "/local/domain/0/backend/vif/7/1 "})
        EXPECT_FALSE(is_back_end_of(path, 7, 1)) << path;
}

}  // namespace
}  // namespace xlstore::xenstore
