// SPDX-License-Identifier: MIT
#include "store/libxl/host_directories.hpp"

#include <gtest/gtest.h>

namespace xlstore::libxl {
namespace {

constexpr const char* kUuid = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01";

TEST(HostDirectoriesTest, UserdataNamesAreTakenApartAndPutTogether)
{
    const std::string name = std::string("userdata-d.17.") + kUuid + ".libxl-json";
    const auto parsed = parse_userdata_name(name);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(*parsed, (UserdataName{'d', {17, kUuid}, "libxl-json"}));
    EXPECT_EQ(userdata_name(*parsed), name);
    EXPECT_TRUE(parse_userdata_name(std::string("userdata-l.0.") + kUuid + ".qmp-socket-lock"));
}

TEST(HostDirectoriesTest, WhatLibxlDoesNotWriteIsNoUserdata)
{
    for (const std::string& name :
         {std::string("userdata-d.7.libxl-json"), std::string("userdata-x.7.") + kUuid + ".a",
          std::string("userdata-d.07.") + kUuid + ".a",
          std::string("userdata-d.-1.") + kUuid + ".a",
          std::string("userdata-d.-0.") + kUuid + ".a", std::string("userdata-d.7.") + kUuid,
          std::string("userdata-d.7.") + kUuid + ".",
          std::string("userdata-d.7.8F2C7D10-4b6e-4a51-9d3c-2f1e5a7b9c01.libxl-json"),
          std::string("userdata-d.99999999999999999999.") + kUuid + ".a",
          std::string("qemu-save.7"), std::string("userdata-"), std::string("userdata-d"),
          std::string("userdata-dx7.") + kUuid + ".a"})
        EXPECT_FALSE(parse_userdata_name(name)) << name;
}

TEST(HostDirectoriesTest, AMonitorsPathTellsTheInstallation)
{
    EXPECT_EQ(HostDirectories::of_monitor("/run/xen/qmp-libxl-7", 7)->lib(), "/var/lib/xen");
    EXPECT_EQ(HostDirectories::of_monitor("/var/run/xen/qmp-libxl-7", 7)->lib(), "/var/lib/xen");
    const auto other = HostDirectories::of_monitor("/tmp/r/var/run/xen/qmp-libxl-7", 7);
    ASSERT_TRUE(other);
    EXPECT_EQ(other->lib(), "/tmp/r/var/lib/xen");
    EXPECT_EQ(other->run(), "/tmp/r/var/run/xen");
    for (const char* path : {"/run/xen/qmp-libxl-17", "/run/xen/qmp-libxenstat-7",
                             "/srv/qmp-libxl-7", "/var/lib/xlstore/run/qmp-7"})
        EXPECT_FALSE(HostDirectories::of_monitor(path, 7)) << path;
}

}  // namespace
}  // namespace xlstore::libxl
