// SPDX-License-Identifier: MIT
#include "store/xenstore/pci_list.hpp"

#include <gtest/gtest.h>

namespace xlstore::xenstore {
namespace {

constexpr const char* kBack = "/local/domain/0/backend/pci/7/0/";
const PciAddress kFirst{0, 3, 0, 0};
const PciAddress kSecond{1, 0x1a, 0x1f, 7};

// "dev-0=…": what is written below the list, "-dev-0": what is removed; other paths whole.
std::vector<std::string> shown(const std::vector<Request>& requests)
{
    std::vector<std::string> lines;
    for (const auto& one : requests) {
        const std::string path =
            one.path.starts_with(kBack) ? one.path.substr(std::string(kBack).size()) : one.path;
        if (one.kind == Kind::write) lines.push_back(path + "=" + one.rest);
        if (one.kind == Kind::remove) lines.push_back("-" + path);
    }
    return lines;
}
using Lines = std::vector<std::string>;

PciList list_of(std::int32_t size, const std::map<std::string, std::string>& nodes)
{
    PciList list;
    list.is_there = size > 0;
    list.size = size;
    list.nodes = nodes;
    return list;
}

TEST(PciListTest, TheFirstDeviceMakesTheList)
{
    const auto requests = requests_to_list_pci(
        7, "web", kFirst, R"({"bus":3,"vdevfn":48,"permissive":true,"rdm_policy":"relaxed"})",
        PciList(), 5);
    EXPECT_EQ(
        shown(requests),
        (Lines{"-/local/domain/0/backend/pci/7/0", "frontend=/local/domain/7/device/pci/0",
               "frontend-id=7", "online=1", "state=1", "domain=web",
               "-/local/domain/7/device/pci/0",
               "/local/domain/7/device/pci/0/backend=/local/domain/0/backend/pci/7/0",
               "/local/domain/7/device/pci/0/backend-id=0", "/local/domain/7/device/pci/0/state=1",
               "key-0=0000:03:00.0", "dev-0=0000:03:00.0", "vdevfn-0=30",
               "opts-0=msitranslate=0,power_mgmt=0,permissive=1,rdm_policy=relaxed", "state-0=1",
               "num_devs=1"}));
    for (const auto& one : requests)
        EXPECT_EQ(one.transaction, 5U);
}

TEST(PciListTest, AnotherDeviceReconfiguresTheBackEnd)
{
    const auto list = list_of(1, {{"dev-0", "0000:03:00.0"}});
    EXPECT_EQ(shown(requests_to_list_pci(7, "web", kSecond, R"({"name":"gpu"})", list, 0)),
              (Lines{"key-1=0001:1a:1f.7", "dev-1=0001:1a:1f.7", "name-1=gpu",
                     "opts-1=msitranslate=0,power_mgmt=0,permissive=0,rdm_policy=strict",
                     "state-1=1", "num_devs=2", "state=7"}));
    EXPECT_EQ(shown(requests_to_close_pci(7, 1, 0)), (Lines{"state-1=5", "state=7"}));
}

TEST(PciListTest, ThoseBehindADeviceMoveUp)
{
    const auto list = list_of(3, {{"dev-0", "0000:03:00.0"},
                                  {"key-0", "0000:03:00.0"},
                                  {"state-0", "5"},
                                  {"vdevfn-0", "30"},
                                  {"dev-1", "0000:04:00.0"},
                                  {"state-1", "3"},
                                  {"name-1", "x"},
                                  {"dev-2", "0001:1a:1f.7"},
                                  {"state-2", "3"}});
    EXPECT_EQ(list.index_of(kFirst), 0);
    EXPECT_EQ(list.index_of(kSecond), 2);
    EXPECT_FALSE(list.index_of(PciAddress{0, 9, 0, 0}));
    EXPECT_EQ(
        shown(requests_to_unlist_pci(7, 0, list, 0)),
        (Lines{"state-0=3", "dev-0=0000:04:00.0", "-key-0", "-vdevfn-0", "name-0=x", "state-1=3",
               "dev-1=0001:1a:1f.7", "-name-1", "-state-2", "-dev-2", "num_devs=2"}));
    EXPECT_EQ(shown(requests_to_unlist_pci(7, 2, list, 0)),
              (Lines{"-state-2", "-dev-2", "num_devs=2"}));
}

TEST(PciListTest, WithTheLastOneTheListGoes)
{
    EXPECT_EQ(shown(requests_to_unlist_pci(7, 0, list_of(1, {{"dev-0", "0000:03:00.0"}}), 0)),
              (Lines{"-/local/domain/7/device/pci/0", "-/local/domain/0/backend/pci/7/0"}));
}

}  // namespace
}  // namespace xlstore::xenstore
