// SPDX-License-Identifier: MIT
#include "store/classes/class_rebuild.hpp"

#include <gtest/gtest.h>

namespace xlstore {
namespace {

std::string rebuilt(const SeenDevice& device, const std::vector<VcpuSlot>& slots = {})
{
    const auto entry = rebuild_device(device, slots);
    return entry ? entry->name.text() + " " + entry->json : "";
}

// What attaching `json` makes in QEMU, seen there, is `json` again.
void there_and_back(const std::string& device_class, const std::string& json, SeenDevice device)
{
    SCOPED_TRACE(json);
    const auto draft = draft_hot_plug(device_class, json);
    ASSERT_TRUE(draft) << draft.error().message;
    device.id = draft->plan.probe.products.front().name;
    EXPECT_EQ(rebuilt(device), draft->thing.text() + " " + *draft->image_after);
}

TEST(ClassRebuildTest, IsTheOtherWayRound)
{
    there_and_back("usbctrls", R"({"type":"devicemodel","devid":0,"version":1})",
                   {"", "piix3-usb-uhci", {}});
    there_and_back("usbctrls", R"({"type":"devicemodel","devid":12,"version":2})",
                   {"", "usb-ehci", {}});
    there_and_back("usbctrls", R"({"type":"devicemodel","devid":3,"version":3,"ports":15})",
                   {"", "nec-usb-xhci", {{"p2", "15"}, {"p3", "15"}}});
    const std::string bus = R"("/machine/peripheral/xenusb-4/xenusb-4.0")";
    there_and_back("usbdevs", R"({"ctrl":4,"port":2,"type.hostdev":{"hostbus":1,"hostaddr":5}})",
                   {"",
                    "usb-host",
                    {{"parent_bus", bus}, {"port", "\"2\""}, {"hostbus", "1"}, {"hostaddr", "5"}}});
    there_and_back("usbdevs", R"({"ctrl":4,"port":1,"type.emulated":{"driver":"usb-tablet"}})",
                   {"", "usb-tablet", {{"parent_bus", bus}, {"port", "\"1\""}}});
    there_and_back("pcidevs", R"({"func":1,"bus":3,"domain":1,"vfunc_mask":1,"permissive":true})",
                   {"",
                    "xen-pci-passthrough",
                    {{"hostaddr", "\"0001:03:00.1\""}, {"permissive", "true"}, {"addr", "0"}}});
    there_and_back("pcidevs", R"({"dev":16,"vdevfn":48,"vfunc_mask":1})",
                   {"", "xen-pci-passthrough", {{"hostaddr", "\"0000:00:10.0\""}, {"addr", "48"}}});
}

TEST(ClassRebuildTest, VcpuByItsSlot)
{
    const auto slots = vcpu_slots(
        R"([{"props":{"core-id":1},"type":"cpu","qom-path":"/machine/peripheral/mine"},)"
        R"({"props":{"core-id":0},"type":"cpu","qom-path":"/machine/unattached/device[0]"}])");
    EXPECT_EQ(rebuilt({"mine", "cpu", {}}, slots),
              R"(vcpus/1 {"index":1,"driver":"cpu","props":{"core-id":1}})");
    EXPECT_EQ(rebuilt({"other", "cpu", {}}, slots), "");
}

TEST(ClassRebuildTest, NothingIsGuessed)
{
    const std::string bus = R"("/machine/peripheral/xenusb-4/xenusb-4.0")";
    for (const SeenDevice& device : {
             SeenDevice{"usb3", "nec-usb-xhci", {}},  // not libxl's id
             // Which device of the host's it is was not told, or is another.
             SeenDevice{"pci-pt-03_00.0", "xen-pci-passthrough", {}},
             SeenDevice{"pci-pt-03_00.0", "xen-pci-passthrough", {{"hostaddr", "\"0000:04:00.0\""}}},
             SeenDevice{"pci-pt-03_00.0", "e1000e", {{"hostaddr", "\"0000:03:00.0\""}}},
             SeenDevice{"xenusb-", "nec-usb-xhci", {}}, SeenDevice{"xenusb-+1", "nec-usb-xhci", {}},
             SeenDevice{"xenusb-1", "qemu-xhci", {}},              // not its driver
             SeenDevice{"xenusb-emulated-4-1", "usb-tablet", {}},  // no place
             SeenDevice{"xenusb-emulated-4-1",
                        "usb-tablet",
                        {{"parent_bus", bus}, {"port", "\"1.2\""}}},  // behind a hub
             SeenDevice{"xenusb-emulated-4-1",
                        "usb-tablet",
                        {{"parent_bus", bus}, {"port", "\"2\""}}},  // another place
             SeenDevice{"xenusb-1-6",
                        "usb-host",
                        {{"parent_bus", bus},
                         {"port", "\"2\""},
                         {"hostbus", "1"},
                         {"hostaddr", "5"}}},  // id of another
         })
        EXPECT_EQ(rebuilt(device), "") << device.id;
}

TEST(ClassRebuildTest, MediaOfCdDrives)
{
    const auto entry = rebuild_drive("ide-5632", "raw:/a b.iso");
    ASSERT_TRUE(entry);
    EXPECT_EQ(entry->name.text(), "disks/hdc");
    EXPECT_EQ(entry->json,
              R"({"pdev_path":"/a b.iso","vdev":"hdc","format":"raw","removable":1,"is_cdrom":1})");
    EXPECT_EQ(rebuild_drive("ide-768", "raw:/a")->name.text(), "disks/hda");
    EXPECT_FALSE(rebuild_drive("floppy0", "raw:/a"));
    EXPECT_FALSE(rebuild_drive("ide-5632", "null-co:null-co://"));
    EXPECT_FALSE(rebuild_drive("ide-5632", "/a"));
    EXPECT_FALSE(rebuild_drive("ide-5632", ""));
}

}  // namespace
}  // namespace xlstore
