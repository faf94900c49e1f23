// SPDX-License-Identifier: MIT
#include "store/classes/class_plan.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "store/text/json_text.hpp"

namespace xlstore {
namespace {

ThingRow cd(const std::string& vdev)
{
    ThingRow row;
    row.name = {"disks", vdev};
    row.primary = "qemu";
    row.json = R"({"pdev_path":"/a.iso","vdev":")" + vdev +
               R"(","format":"raw","removable":1,"is_cdrom":1})";
    return row;
}

// Exactly libxl's commands, ids and order, as transcripts of the real one have them.
TEST(ClassPlan, ChangesAMediumAsLibxlDoes)
{
    const auto draft = draft_insert(cd("hdc"), "/b.iso");
    ASSERT_TRUE(draft);
    std::vector<std::string> sent;
    for (const auto& step : draft->plan.steps)
        sent.push_back(step.command.execute + step.command.arguments);
    EXPECT_EQ(
        sent,
        (std::vector<std::string>{
            "query-version", R"(eject{"id":"ide-5632"})", R"(add-fd{"opaque":"raw:/b.iso"})",
            R"(blockdev-change-medium{"id":"ide-5632","filename":"/dev/fdset/$fdset","format":"raw"})"}));
    EXPECT_EQ(draft->plan.steps[2].file, "/b.iso");
    EXPECT_EQ(*draft->image_after,
              R"({"pdev_path":"/b.iso","vdev":"hdc","format":"raw","removable":1,"is_cdrom":1})");
    EXPECT_EQ(*draft->image_neither,
              R"({"pdev_path":"","vdev":"hdc","format":"empty","removable":1,"is_cdrom":1})");
    EXPECT_EQ(draft_eject(cd("hdc"))->plan.steps.size(), 2U);
}

// libxl's device numbers, as its xenstore paths have them.
TEST(ClassPlan, NamesDrivesByLibxlsDeviceNumber)
{
    const std::pair<const char*, const char*> known[] = {
        {"hda", "ide-768"},    {"hdb", "ide-832"},        {"hdc", "ide-5632"},
        {"hdd", "ide-5696"},   {"sda", "ide-2048"},       {"xvda", "ide-51712"},
        {"xvdb", "ide-51728"}, {"xvdq", "ide-268439552"}, {"d1", "ide-51728"}};
    for (const auto& [vdev, id] : known)
        EXPECT_EQ(draft_eject(cd(vdev))->plan.probe.drive->drive, id) << vdev;
    for (const char* vdev : {"hde", "foo", "", "hd", "d-1", "xvd1"})
        EXPECT_FALSE(draft_eject(cd(vdev))) << vdev;
}

TEST(ClassPlan, RefusesAMediumChangeOfWhatIsNoCdDrive)
{
    ThingRow row = cd("hdc");
    row.json = R"({"pdev_path":"/a.img","vdev":"hdc","format":"raw"})";
    EXPECT_FALSE(draft_insert(row, "/b.iso"));
}

// Numbers are strings in what libxl 4.17 sends.
TEST(ClassPlan, DetachesAStaleEntryOfWhichOnlyTheAbsenceCanBeProved)
{
    ThingRow pci;
    pci.name = ThingName{"pcidevs", "0000:03:00.1"};
    pci.primary = "qemu";
    pci.json = R"({"bus":3,"func":1})";
    MadeOf nothing;
    ThingRow drive = cd("hdc");
    EXPECT_FALSE(draft_detach(drive, nothing));
    drive.state = "stale";
    const auto of_drive = draft_detach(drive, nothing);
    ASSERT_TRUE(of_drive);
    EXPECT_TRUE(of_drive->plan.steps.empty());
    EXPECT_EQ(of_drive->plan.probe.drive->drive, "ide-5632");

    // What another entry has in QEMU is that one's, present or stale.
    MadeOf taken;
    taken.of_others.push_back(Product{"device", "xenusb-1-2", std::nullopt});
    for (const char* state : {"present", "stale"}) {
        pci.state = state;
        const auto draft = draft_detach(pci, taken);
        ASSERT_TRUE(draft) << state;
        EXPECT_TRUE(draft->plan.steps.empty() && draft->plan.probe.products.empty());
        EXPECT_FALSE(draft->plan.probe.absent.empty());
    }
}

TEST(ClassPlan, AttachesUsbAsLibxlDoes)
{
    const auto ctrl =
        draft_attach("usbctrls", R"({"type":"devicemodel","devid":1,"version":3,"ports":4})");
    ASSERT_TRUE(ctrl);
    EXPECT_EQ(ctrl->plan.steps[0].command.arguments,
              R"({"driver":"nec-usb-xhci","p2":"4","p3":"4","id":"xenusb-1"})");
    const auto dev =
        draft_attach("usbdevs", R"({"ctrl":0,"port":1,"type.hostdev":{"hostbus":1,"hostaddr":4}})");
    ASSERT_TRUE(dev);
    EXPECT_TRUE(json_equal(
        dev->plan.steps[0].command.arguments,
        R"({"id":"xenusb-1-4","driver":"usb-host","bus":"xenusb-0.0","port":"1","hostbus":"1","hostaddr":"4"})"));
    EXPECT_FALSE(draft_attach("usbctrls", R"({"type":"pv","devid":1})"));
    EXPECT_FALSE(draft_attach("usbdevs", R"({"ctrl":0,"port":1})"));
    EXPECT_FALSE(draft_attach("nics", R"({"devid":1})"));
    EXPECT_FALSE(draft_attach("nope", "{}"));
}

TEST(ClassPlan, WhatIsMissingOrCannotBeSentIsNamed)
{
    const auto why = [](const Result<Draft>& draft) {
        if (draft) return std::string("no error");
        EXPECT_EQ(draft.error().code, Errc::invalid);
        return draft.error().message;
    };
    const struct {
        const char* device_class;
        const char* json;
        const char* says;
    } rows[] = {
        {"usbctrls", R"({"type":"devicemodel","version":4,"devid":1})", "version 4"},
        {"usbdevs", R"({"ctrl":-1,"port":1})", "\"ctrl\" or \"port\""},
        {"usbdevs", R"({"ctrl":0,"port":0})", "\"ctrl\" or \"port\""},
        {"usbdevs", R"({"ctrl":0,"port":1,"type.emulated":{}})", "\"driver\""},
        {"usbdevs", R"({"ctrl":0,"port":1,"type.hostdev":{"hostbus":1}})", "\"hostaddr\""},
    };
    for (const auto& row : rows) {
        const auto message = why(draft_attach(row.device_class, row.json));
        EXPECT_NE(message.find(row.says), std::string::npos) << row.json << ": " << message;
    }
    for (const std::string& path : {std::string("/srv/\xff.iso"), std::string("/srv/a\0b", 8)})
        EXPECT_NE(why(draft_insert(cd("hdc"), path)).find("is not UTF-8"), std::string::npos);
}

TEST(ClassPlan, VcpuIsItsDeviceInQemu)
{
    ThingRow vcpu;
    vcpu.name = ThingName{"vcpus", "3"};
    const auto products = products_of(vcpu);
    ASSERT_EQ(products.size(), 1U);
    EXPECT_EQ(products[0].kind + " " + products[0].name, "device cpu-3");
    EXPECT_EQ(products[0].undo->execute, "device_del");
}

// QEMU lists the last slot first.
TEST(ClassPlan, PicksTheVcpusSlotByItsPlace)
{
    const std::string slots =
        R"([{"props":{"core-id":0,"thread-id":0,"socket-id":2},"vcpus-count":1,"type":"q"},)"
        R"({"props":{"core-id":0,"thread-id":0,"socket-id":1},"vcpus-count":1,"type":"q"},)"
        R"({"props":{"core-id":0,"thread-id":0,"socket-id":0},"vcpus-count":1,"qom-path":"/x","type":"q"}])";
    const auto draft = draft_attach_vcpu(R"({"index":1})", slots);
    ASSERT_TRUE(draft);
    EXPECT_EQ(draft->plan.steps[0].command.arguments,
              R"({"id":"cpu-1","driver":"q","socket-id":1,"core-id":0,"thread-id":0})");
    EXPECT_EQ(draft_attach_vcpu(R"({"index":0})", slots).error().code, Errc::exists);
    EXPECT_EQ(draft_attach_vcpu(R"({"index":3})", slots).error().code, Errc::invalid);
    const auto nameless = draft_attach_vcpu(R"({"index":0})", R"([{"props":{},"vcpus-count":1}])");
    ASSERT_FALSE(nameless);
    EXPECT_EQ(nameless.error().code, Errc::protocol);
    // What a later QEMU names besides stands behind what libxl knows.
    const auto later = draft_attach_vcpu(
        R"({"index":0})", R"([{"props":{"die-id":0,"socket-id":0},"vcpus-count":1,"type":"q"}])");
    ASSERT_TRUE(later);
    EXPECT_EQ(later->plan.steps[0].command.arguments,
              R"({"id":"cpu-0","driver":"q","socket-id":0,"die-id":0})");
}

}  // namespace
}  // namespace xlstore
