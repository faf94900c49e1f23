// SPDX-License-Identifier: MIT
#include "store/classes/libxl_defaults.hpp"

#include <gtest/gtest.h>

#include <array>

#include "store/classes/class_plan.hpp"

namespace xlstore {
namespace {

std::string filled(const char* device_class, const char* json)
{
    const auto whole = with_libxl_defaults(device_class, json);
    return whole ? *whole : "refused: " + whole.error().message;
}

// What `xl usbctrl-attach` and `xl pci-attach` of a real Xen 4.17 wrote.
TEST(LibxlDefaultsTest, AreThoseOfAHotPlug)
{
    const std::array<std::array<const char*, 3>, 8> table = {{
        {"usbctrls", R"({"devid":0})",
         R"({"type":"devicemodel","devid":0,"version":2,"ports":6})"},
        {"usbctrls", R"({"type":"auto","devid":0,"version":1})",
         R"({"type":"devicemodel","devid":0,"version":1,"ports":2})"},
        {"usbctrls", R"({"type":"devicemodel","devid":0,"version":3})",
         R"({"type":"devicemodel","devid":0,"version":3,"ports":8})"},
        {"usbctrls", R"({"type":"devicemodel","devid":1,"version":3,"ports":15})",
         R"({"type":"devicemodel","devid":1,"version":3,"ports":15})"},
        {"usbctrls", R"({"type":"qusb","devid":1})", R"({"type":"qusb","devid":1})"},
        {"pcidevs", R"({"dev":16,"vfunc_mask":1})",
         R"({"dev":16,"vfunc_mask":1,"rdm_policy":"strict"})"},
        {"pcidevs", R"({"bus":3,"rdm_policy":"relaxed","name":"gpu"})",
         R"({"bus":3,"rdm_policy":"relaxed","name":"gpu"})"},
        {"usbdevs", R"({"ctrl":0})", R"({"ctrl":0})"},
    }};
    for (const auto& [device_class, json, whole] : table)
        EXPECT_EQ(filled(device_class, json), whole);
}

TEST(LibxlDefaultsTest, PortsThatAControllerCannotHaveAreRefused)
{
    for (const char* json :
         {R"({"devid":0,"version":1,"ports":6})", R"({"devid":0,"version":2,"ports":2})",
          R"({"devid":0,"version":3,"ports":16})", R"({"devid":0,"version":3,"ports":-1})"})
        EXPECT_TRUE(filled("usbctrls", json).starts_with("refused: usbctrls: a controller of"))
            << json;
}

TEST(LibxlDefaultsTest, APciDeviceKeepsThePlaceThatQemuChose)
{
    const std::string places = R"({"pci-pt-00_10.0":{"bus":"pci.0","addr":"06.0"}})";
    EXPECT_EQ(with_place_of("pcidevs", R"({"dev":16,"vfunc_mask":1,"rdm_policy":"strict"})", places),
              R"({"dev":16,"vdevfn":48,"vfunc_mask":1,"rdm_policy":"strict"})");
    for (const char* json : {R"({"dev":16,"vdevfn":40})", R"({"dev":17})", R"({"name":"gpu"})"})
        EXPECT_EQ(with_place_of("pcidevs", json, places), json);
    EXPECT_EQ(with_place_of("pcidevs", R"({"dev":16})", ""), R"({"dev":16})");
    EXPECT_EQ(with_place_of("usbdevs", R"({"dev":16})", places), R"({"dev":16})");
}

TEST(LibxlDefaultsTest, WhatLibxlDoesNotHotPlugSaysWhy)
{
    for (const auto& [device_class, json, why] :
         std::initializer_list<std::array<const char*, 3>>{
             {"disks", R"({"vdev":"hdb"})", "by QEMU's command line"},
             {"nics", R"({"devid":1})", "vif_ioemu"},
             {"channels", R"({"devid":1})", "command line alone"},
             {"rdms", R"({"start":1})", "when the domain is built"},
             {"vtpms", R"({"devid":1})", "xenstore"},
             {"pcidevs", R"({"name":"gpu"})", "/libxl/pci/"},
             {"pcidevs", R"({"bus":3,"vfunc_mask":4294967295})", "all its functions"}}) {
        const auto draft = draft_hot_plug(device_class, json);
        ASSERT_FALSE(draft) << device_class;
        EXPECT_NE(draft.error().message.find(why), std::string::npos) << draft.error().message;
        EXPECT_FALSE(draft.error().advice.empty()) << device_class;
    }
}

}  // namespace
}  // namespace xlstore
