// SPDX-License-Identifier: MIT
// Where QEMU put a device, out of its answers (QEMU 7.2's, as they came), and back into a plan.
#include "store/qmp/address.hpp"

#include <gtest/gtest.h>

#include "store/text/json_text.hpp"

namespace xlstore {
namespace {

using Properties = std::map<std::string, std::string>;

TEST(AddressTest, APciFunctionIsSlotAndFunctionOnItsBus)
{
    const Properties types = {
        {"addr", "int32"}, {"parent_bus", "link<bus>"}, {"acpi-index", "uint32"}, {"id", "str"}};
    EXPECT_EQ(placing_properties(types), (std::vector<std::string>{"addr", "parent_bus"}));
    const PlacedDevice rng{
        types, {{"addr", "16"}, {"parent_bus", "\"/machine/i440fx/pci.0\""}}, ""};
    EXPECT_EQ(address_of(rng), R"({"bus":"pci.0","addr":"02.0"})");
    const PlacedDevice last{
        types, {{"addr", "247"}, {"parent_bus", "\"/machine/peripheral/br/br\""}}, ""};
    EXPECT_EQ(address_of(last), R"({"bus":"br","addr":"1e.7"})");
    // Not realized, or nonsense: nothing is guessed.
    for (const char* addr : {"-1", "256", "null", "\"2\""})
        EXPECT_EQ(address_of(PlacedDevice{
                      types, {{"addr", addr}, {"parent_bus", "\"/machine/i440fx/pci.0\""}}, ""}),
                  "{}")
            << addr;
}

TEST(AddressTest, AMemoryModuleHasAnAddressOfMemoryAndASlot)
{
    const Properties types = {{"addr", "uint64"}, {"slot", "int32"}, {"parent_bus", "link<bus>"}};
    const PlacedDevice dimm{
        types, {{"addr", "4294967296"}, {"slot", "0"}, {"parent_bus", "\"\""}}, ""};
    EXPECT_EQ(placing_properties(types), (std::vector<std::string>{"addr", "slot", "parent_bus"}));
    EXPECT_EQ(address_of(dimm), R"({"addr":4294967296,"slot":0})");
    // The slot of a PCIe port is none of QEMU's choice.
    EXPECT_EQ(placing_properties({{"addr", "int32"}, {"slot", "uint16"}, {"port", "uint8"}}),
              (std::vector<std::string>{"addr"}));
}

TEST(AddressTest, ScsiAndSerialPortsHaveNumbers)
{
    const PlacedDevice disk{{{"scsi-id", "uint32"}, {"lun", "uint32"}, {"channel", "uint32"}},
                            {{"scsi-id", "1"},
                             {"lun", "0"},
                             {"channel", "0"},
                             {"parent_bus", "\"/machine/peripheral/scsi/virtio-backend/scsi.0\""}},
                            ""};
    EXPECT_EQ(address_of(disk), R"({"bus":"scsi.0","channel":0,"lun":0,"scsi-id":1})");
    const PlacedDevice port{
        {{"nr", "uint32"}},
        {{"nr", "3"}, {"parent_bus", "\"/machine/peripheral/vs/virtio-backend/vs.0\""}},
        ""};
    EXPECT_EQ(address_of(port), R"({"bus":"vs.0","nr":3})");
    EXPECT_EQ(placing_properties({{"socket-id", "int32"}}), std::vector<std::string>());
}

TEST(AddressTest, AUsbPortIsTheOneThatTheListNames)
{
    const std::string list =
        "  Device 0.0, Port 1, Speed 480 Mb/s, Product QEMU USB Tablet, ID: tab\r\n"
        "  Device 0.3, Port 2.1, Speed 12 Mb/s, Product QEMU USB Mouse, ID: tab2\r\n"
        "  Device 0.4, Port 3, Speed 12 Mb/s, Product Hub\r\n";
    EXPECT_EQ(usb_port_of(list, "tab"), "1");
    EXPECT_EQ(usb_port_of(list, "tab2"), "2.1");
    EXPECT_EQ(usb_port_of(list, "ab"), "");
    EXPECT_EQ(usb_port_of(list, "other"), "");
    EXPECT_EQ(usb_port_of("", "tab"), "");
    EXPECT_EQ(usb_port_of("no such command", "tab"), "");
    const PlacedDevice tablet{{{"port", "str"}},
                              {{"port", "\"\""}, {"parent_bus", "\"/machine/peripheral/x/x.0\""}},
                              "2.1"};
    EXPECT_EQ(address_of(tablet), R"({"bus":"x.0","port":"2.1"})");
    EXPECT_EQ(address_of(PlacedDevice{tablet.types, tablet.values, ""}), "{}");
}

// What a device on the host calls itself is the guest's or an unrelated process's to choose.
TEST(AddressTest, ADeviceThatCallsItselfAnotherTellsNothing)
{
    EXPECT_EQ(usb_port_of("  Device 0.0, Port 1, Speed 480 Mb/s, Product X\n"
                          "  Device 0.9, Port 9, Speed 1 Mb/s, Product Y, ID: tab\n"
                          "  Device 0.1, Port 2, Speed 480 Mb/s, Product Z, ID: tab\n",
                          "tab"),
              "");
    EXPECT_EQ(usb_port_of("  Device 0.0, Port 1,addr=7, Speed 480, ID: tab\n", "tab"), "1");
    EXPECT_EQ(usb_port_of("  Device 0.0, Port $x, Speed 480, ID: tab\n", "tab"), "");
}

Plan one_device(const std::string& arguments)
{
    Plan plan;
    plan.steps.push_back(Step{{"device_add", arguments}, std::nullopt, {}, {}});
    return plan;
}

TEST(AddressTest, APlanGetsWhatItLeftToQemuAndKeepsWhatItSays)
{
    const std::string addresses =
        R"({"rng":{"bus":"pci.0","addr":"02.0"},"d":{"bus":"s.0","lun":0,"scsi-id":3}})";
    const auto placed = [&](const std::string& arguments) {
        return placed_at(one_device(arguments), addresses).steps[0].command.arguments;
    };
    EXPECT_EQ(placed(R"({"driver":"virtio-rng-pci","id":"rng"})"),
              R"({"driver":"virtio-rng-pci","id":"rng","bus":"pci.0","addr":"02.0"})");
    EXPECT_EQ(placed(R"({"driver":"scsi-hd","id":"d","lun":"7"})"),
              R"({"driver":"scsi-hd","id":"d","lun":"7","bus":"s.0","scsi-id":3})");
    EXPECT_EQ(placed(R"({"driver":"virtio-rng-pci","id":"other"})"),
              R"({"driver":"virtio-rng-pci","id":"other"})");
    EXPECT_EQ(placed_at(one_device(R"({"id":"rng"})"), "").steps[0].command.arguments,
              R"({"id":"rng"})");
    Plan other;
    other.steps.push_back(Step{{"object-add", R"({"id":"rng"})"}, std::nullopt, {}, {}});
    EXPECT_EQ(placed_at(other, addresses).steps[0].command.arguments, R"({"id":"rng"})");
}

TEST(AddressTest, OnlyPlacesAreTakenFromElsewhere)
{
    EXPECT_TRUE(check_addresses(R"({"a":{"bus":"pci.0","addr":"02.0"},"b":{"nr":1}})"));
    for (const char* bad : {"[]", R"({"a":1})", R"({"a":{"drive":"x"}})", R"({"a":{"addr":{}}})",
                            R"({"a":{"bus":null}})", R"({"a":{"nr":1.5}})"}) {
        const auto checked = check_addresses(bad);
        ASSERT_FALSE(checked) << bad;
        EXPECT_EQ(checked.error().code, Errc::invalid);
    }
}

}  // namespace
}  // namespace xlstore
