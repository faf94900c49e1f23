// SPDX-License-Identifier: MIT
#include "store/classes/libxl_types.hpp"

#include <gtest/gtest.h>

#include <string>

#include "store/classes/class_plan.hpp"
#include "store/classes/xenstore_device.hpp"
#include "store/model/device_class.hpp"
#include "store/text/json_text.hpp"
#include "tests/support/libxl_document.hpp"

namespace xlstore::test {
namespace {

std::string flaw(const std::string& device_class, const std::string& json)
{
    const auto checked = check_libxl_types(device_class, *json_minify(json, "element"));
    return checked ? std::string() : checked.error().message;
}

TEST(LibxlTypes, WhatIsReadByAnotherTypeIsRefused)
{
    EXPECT_EQ(flaw("nics", R"({"rate_interval_usecs":"50000"})"),
              R"(nics: "rate_interval_usecs" is "50000", not a number from 0 to 4294967295)");
    EXPECT_EQ(flaw("nics", R"({"rate_bytes_per_interval":18446744073709551616})"),
              "nics: \"rate_bytes_per_interval\" is 18446744073709551616, not a number from 0 to "
              "18446744073709551615");
    for (const auto* json :
         {R"({"backend_domid":"5"})", R"({"backend_domid":-1})", R"({"mtu":1e3})", R"({"mtu":1.5})",
          R"({"mac":17})", R"({"mac":"00:16:3e"})", R"({"mac":"00:16:3e:00:01:0g"})",
          R"({"bridge":false})", R"({"nictype":"vifx"})", R"({"trusted":true})",
          R"({"trusted":"yes"})", R"({"devid":4294967296})", R"({"backend_domname":["dom"]})"})
        EXPECT_NE(flaw("nics", json), "") << json;
    for (const auto* json : {R"({"is_cdrom":"1"})", R"({"is_cdrom":true})", R"({"readwrite":"1"})",
                             R"({"direct_io_safe":1})", R"({"format":5})", R"({"vdev":51712})"})
        EXPECT_NE(flaw("disks", json), "") << json;
    for (const auto* json : {R"({"permissive":"True"})", R"({"vdevfn":"8"})", R"({"vdevfn":-1})",
                             R"({"rdm_policy":"none"})", R"({"bus":256})"})
        EXPECT_NE(flaw("pcidevs", json), "") << json;
    EXPECT_NE(flaw("usbctrls", R"({"version":"3"})"), "");
    EXPECT_NE(flaw("usbctrls", R"({"type":5})"), "");
    EXPECT_NE(flaw("usbdevs", R"({"type.hostdev":{"hostbus":"1","hostaddr":4}})"), "");
    EXPECT_NE(flaw("usbdevs", R"({"type.hostdev":"1.4"})"), "");
    EXPECT_NE(flaw("vfbs", R"({"vnc":{"display":"1"}})"), "");
    EXPECT_NE(flaw("vfbs", R"({"vnc":"on"})"), "");
    EXPECT_NE(flaw("vtpms", R"({"uuid":"1-2-3"})"), "");
    EXPECT_NE(flaw("vdispls", R"({"connectors":[{"width":8},{"width":"8"}]})"), "");
    EXPECT_NE(flaw("vsnds", R"({"params":{"sample_rates":[8000,"44100"]}})"), "");
    EXPECT_NE(flaw("vsnds", R"({"pcms":[{"streams":[{"unique_id":3}]}]})"), "");
}

TEST(LibxlTypes, WhatLibxlTakesPasses)
{
    EXPECT_EQ(flaw("nics", R"({"devid":-1,"mtu":null,"mac":"00:16:3E:01:0a:bb","ip":null})"), "");
    EXPECT_EQ(flaw("nics", R"({"rate_bytes_per_interval":18446744073709551615})"), "");
    EXPECT_EQ(flaw("nics", R"({"of a later libxl":{"mtu":"any"}})"), "");
    EXPECT_EQ(flaw("vfbs", R"({"vnc":{"display":1,"enable":"<default>"},"sdl":{"display":":0"}})"),
              "");
    EXPECT_EQ(flaw("qemu", R"({"key":"a","steps":[{"arguments":{"port":"1"}}]})"), "");
    for (std::uint32_t seed = 1; seed <= 50; ++seed) {
        LibxlDocuments made(seed);
        for (const auto& row : device_classes()) {
            if (!row.in_document) continue;
            const auto version = 17 + static_cast<int>(made.number(6));
            const auto text =
                made.element(std::string(row.name), seed, version, 60).print(Printer::yajl);
            EXPECT_EQ(flaw(std::string(row.name), text), "") << seed << " " << text;
        }
    }
}

TEST(LibxlTypes, EachWayOfAnAttachAsks)
{
    EXPECT_FALSE(draft_hot_plug("pcidevs", R"({"bus":3,"permissive":"True"})"));
    EXPECT_FALSE(draft_hot_plug("usbctrls", R"({"devid":0,"version":"3"})"));
    EXPECT_FALSE(with_libxl_choices("nics", R"({"backend_domid":"5"})", DomainType::pv, 0,
                                    "ffa0b1c2d3", "11111111-2222-3333-4444-555555555555"));
    // What an entry has is looked for all the same.
    EXPECT_TRUE(draft_attach("pcidevs", R"({"bus":3,"permissive":"True"})"));
}

}  // namespace
}  // namespace xlstore::test
