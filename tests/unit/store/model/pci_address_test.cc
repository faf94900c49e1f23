// SPDX-License-Identifier: MIT
#include "store/model/pci_address.hpp"

#include <gtest/gtest.h>

namespace xlstore {
namespace {

TEST(PciAddressTest, HasTheSpellingsOfLibxlAndQemu)
{
    const auto address = pci_address_of(R"({"func":1,"dev":16,"bus":3,"domain":66000})");
    ASSERT_TRUE(address);
    EXPECT_EQ(address->text(), "101d0:03:10.1");
    EXPECT_EQ(address->node_name(), "101d0-03-10-1");
    EXPECT_EQ((PciAddress{1, 0x3a, 2, 7}.qemu_id()), "pci-pt-3a_02.7");
    EXPECT_EQ(pci_address_of("{}")->text(), "0000:00:00.0");
    EXPECT_FALSE(pci_address_of(R"({"name":"gpu"})"));
    EXPECT_EQ(pci_address_of(R"({"name":"gpu","bus":3})")->text(), "0000:03:00.0");
}

TEST(PciAddressTest, IsReadBackAndNothingElseIs)
{
    for (const PciAddress& address : {PciAddress{}, {0, 3, 0, 0}, {0x101d0, 0xff, 0x1f, 7}}) {
        EXPECT_EQ(pci_address_from(address.text()), address);
        EXPECT_EQ(pci_address_from_node(address.node_name()), address);
        EXPECT_FALSE(pci_address_from(address.node_name()));
    }
    for (const char* text : {"", "03:00.0", "0000:03:00", "0000:03:20.0", "0000:03:00.8",
                             "0000:100:00.0", "0000:03:00.0 ", "0000:-3:00.0", "#4", "0000:03:00.0.0"})
        EXPECT_FALSE(pci_address_from(text)) << text;
}

TEST(PciAddressTest, SlotAndFunctionAreOneNumberForLibxl)
{
    EXPECT_EQ(pci_slot_text(48), "6.0");
    EXPECT_EQ(pci_slot_text(0xff), "1f.7");
    EXPECT_EQ(pci_devfn_from("06.0"), 48);
    EXPECT_EQ(pci_devfn_from("1f.7"), 0xff);
    for (const char* text : {"", "6", "20.0", "6.8", "6.", ".0"})
        EXPECT_FALSE(pci_devfn_from(text)) << text;
}

}  // namespace
}  // namespace xlstore
