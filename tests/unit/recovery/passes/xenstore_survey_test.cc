// SPDX-License-Identifier: MIT
// Entries and nodes of one moment, and what is found of them. Whole runs: tests/fsck.
#include "recovery/passes/xenstore_survey.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace xlstore::recovery {
namespace {

using Then = XenstoreFinding::Then;

class XenstoreSurveyTest : public testing::Test {
protected:
    XenstoreSurveyTest()
    {
        survey_.domid = 7;
        survey_.traits.type = DomainType::pv;
    }
    void entry(const std::string& device_class, const std::string& key, const std::string& json,
               const std::string& state = "present", const std::string& primary = "xenstore")
    {
        ThingRow row;
        row.id = static_cast<std::int64_t>(survey_.things.size()) + 1;
        row.name = {device_class, key};
        row.state = state;
        row.primary = primary;
        row.json = json;
        survey_.things.push_back(row);
    }
    void node(const std::string& path, const std::string& value = "")
    {
        for (auto at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
            tree_.nodes.emplace(path.substr(0, at), "");
        tree_.nodes[path] = value;
    }
    void device(const std::string& front, const std::string& number, const std::string& back)
    {
        const std::string libxl_node = "/libxl/7/device/" + front + "/" + number;
        const std::string backend = "/local/domain/0/backend/" + back + "/7/" + number;
        const std::string frontend = front == "console" && number == "0"
                                         ? "/local/domain/7/console"
                                         : "/local/domain/7/device/" + front + "/" + number;
        node(libxl_node + "/backend", backend);
        node(libxl_node + "/frontend", frontend);
        node(frontend + "/state", "4");
        node(backend + "/online", "1");
        node(backend + "/state", "4");
    }
    // "subject code", one a line.
    std::string found()
    {
        std::string text;
        for (const auto& one : compare(survey_, tree_))
            text += one.subject + " " + std::string(problem(one.code).name) +
                    (one.can_be_fixed ? "" : " (told)") + "\n";
        return text;
    }

    XenstoreSurvey survey_;
    xenstore::Tree tree_;
};

TEST_F(XenstoreSurveyTest, WhatLibxlMakesByItselfIsNoFinding)
{
    device("console", "0", "console");
    device("vkbd", "0", "vkbd");
    EXPECT_EQ(found(), "vkbd/0 device_unknown\n") << "a PV domain's keyboard has an entry";
    survey_.traits.type = DomainType::hvm;
    EXPECT_EQ(found(), "");
}

// xl gives the first channel a number that the console has; it never reaches xenstore.
TEST_F(XenstoreSurveyTest, FirstConsoleIsNoChannel)
{
    device("console", "0", "console");
    entry("channels", "#0", R"({"devid":0,"name":"a","connection.pty":{}})");
    EXPECT_EQ(found(), "channels/#0 device_absent\n");
}

TEST_F(XenstoreSurveyTest, ThingWithoutANumberIsOneThatIsLeft)
{
    device("vkbd", "0", "vkbd");
    device("vkbd", "1", "vinput");
    entry("vkbs", "#0", R"({"unique_id":"K1"})");
    entry("vkbs", "#1", R"({"devid":0})");
    EXPECT_EQ(found(), "");
    survey_.things.pop_back();
    EXPECT_EQ(found(), "vkbd/1 device_unknown\n");
}

TEST_F(XenstoreSurveyTest, EntryWithAnOpenIntentIsLeftAlone)
{
    entry("nics", "0", R"({"devid":0})");
    EXPECT_EQ(found(), "nics/0 device_absent\n");
    survey_.open = {1};
    EXPECT_EQ(found(), "");
    survey_.open.clear();
    survey_.things[0].state = "adding";
    EXPECT_EQ(found(), "") << "pass 1 speaks of it";
}

TEST_F(XenstoreSurveyTest, BackEndThatServesAGuestIsNotTakenOut)
{
    device("vif", "0", "vif");
    entry("nics", "0", R"({"devid":0})");
    std::erase_if(tree_.nodes, [](const auto& one) {
        return one.first.starts_with("/local/domain/7/device/vif");
    });
    EXPECT_EQ(found(), "nics/0 device_partial (told)\n");
    node("/local/domain/0/backend/vif/7/0/state", "2");
    const auto left = compare(survey_, tree_);
    ASSERT_EQ(left.size(), 1u);
    EXPECT_TRUE(left[0].can_be_fixed);
    EXPECT_EQ(left[0].then, Then::stale);
    ASSERT_EQ(left[0].nodes.size(), 2u);
    EXPECT_EQ(left[0].nodes[0].path, "/local/domain/0/backend/vif/7/0");
    EXPECT_EQ(left[0].nodes[1].path, "/libxl/7/device/vif/0");
}

// Of QEMU's things nothing is said unless QEMU was asked in the same run.
TEST_F(XenstoreSurveyTest, CopiesFollowWhatQemuShowed)
{
    survey_.traits.type = DomainType::hvm;
    device("vbd", "5632", "qdisk");
    node("/libxl/7/device/vbd/5632/params", "aio:/a.iso");
    node("/local/domain/0/backend/qdisk/7/5632/params", "aio:/a.iso");
    entry("disks", "hdc", R"({"pdev_path":"/a.iso","vdev":"hdc","format":"raw","is_cdrom":1})",
          "stale", "qemu");
    EXPECT_EQ(found(), "");
    survey_.qemu_was_seen = true;
    auto differs = compare(survey_, tree_);
    ASSERT_EQ(differs.size(), 1u);
    EXPECT_EQ(differs[0].code, Code::copy_differs);
    EXPECT_EQ(differs[0].nodes.at(0).value, "");
    survey_.things[0].state = "present";
    EXPECT_EQ(found(), "");
    survey_.things[0].json =
        R"({"pdev_path":"/b.qcow2","vdev":"hdc","format":"qcow2","is_cdrom":1})";
    differs = compare(survey_, tree_);
    ASSERT_EQ(differs.size(), 1u);
    EXPECT_EQ(differs[0].nodes.at(1).value, "qcow2:/b.qcow2");
    // libxl 4.19 writes the path without its format while the drive is emptied.
    node("/libxl/7/device/vbd/5632/params", "/b.qcow2");
    node("/local/domain/0/backend/qdisk/7/5632/params", "/b.qcow2");
    EXPECT_EQ(found(), "");
}

TEST_F(XenstoreSurveyTest, ControllersAndPortsFollowQemu)
{
    survey_.traits.type = DomainType::hvm;
    survey_.qemu_was_seen = true;
    survey_.usb_name = [](std::int64_t bus, std::int64_t address) -> std::optional<std::string> {
        return bus == 1 && address == 2 ? std::optional<std::string>("1-4") : std::nullopt;
    };
    entry("usbctrls", "0", R"({"type":"devicemodel","devid":0,"version":3,"ports":2})", "present",
          "qemu");
    entry("usbdevs", "0.1", R"({"ctrl":0,"port":1,"type.hostdev":{"hostbus":1,"hostaddr":2}})",
          "present", "qemu");
    const auto lost = compare(survey_, tree_);
    ASSERT_EQ(lost.size(), 1u);
    for (const auto& change : lost[0].nodes)
        node(change.path, *change.value);
    EXPECT_EQ(tree_.value("/libxl/7/device/vusb/0/port/1"), "1-4");
    EXPECT_EQ(tree_.value("/libxl/7/device/vusb/0/port/2"), "");
    EXPECT_EQ(found(), "");
    node("/libxl/7/device/vusb/0/port/1", "");
    EXPECT_EQ(found(), "usbdevs/0.1 copy_differs\n");
    survey_.usb_name = nullptr;
    EXPECT_EQ(found(), "usbdevs/0.1 copy_differs (told)\n");
    for (auto& thing : survey_.things)
        thing.state = "stale";
    EXPECT_EQ(found(), "usbctrls/0 copy_differs\n");
}

TEST_F(XenstoreSurveyTest, PciDevicesOfADomainWithoutADeviceModel)
{
    const std::string list = "/local/domain/0/backend/pci/7/0";
    node(list + "/num_devs", "1");
    node(list + "/dev-0", "0000:03:00.0");
    entry("pcidevs", "0000:04:00.0", R"({"bus":4})");
    EXPECT_EQ(found(), "pci/0000:03:00.0 device_unknown\npcidevs/0000:04:00.0 device_absent\n");
    // A client that died may have had it assigned: who has that part takes it back.
    EXPECT_FALSE(compare(survey_, tree_).back().pci_leaves);
    survey_.has_pci_hook = true;
    EXPECT_TRUE(compare(survey_, tree_).back().pci_leaves);
    survey_.things.front().state = "removing";
    EXPECT_TRUE(compare(survey_, tree_).back().pci_leaves) << "nor was the removal at its end";
    survey_.traits.type = DomainType::hvm;
    survey_.things.clear();
    EXPECT_EQ(found(), "") << "QEMU has it, and is asked";
}

// Beside it in the list stands whether it was asked to go, and the list's own state says whether it has gone.
TEST_F(XenstoreSurveyTest, PciDeviceThatIsBeingRemovedWaitsForItsBackEnd)
{
    const std::string list = "/local/domain/0/backend/pci/7/0";
    node(list + "/num_devs", "1");
    node(list + "/dev-0", "0000:04:00.0");
    node(list + "/state-0", "5");
    node(list + "/state", "7");
    entry("pcidevs", "0000:04:00.0", R"({"bus":4})", "removing");
    survey_.has_pci_hook = true;
    EXPECT_EQ(found(), "pcidevs/0000:04:00.0 device_waits (told)\n");
    node(list + "/state", "4");
    EXPECT_EQ(found(), "pcidevs/0000:04:00.0 device_leaving\n");
    const auto leaving = compare(survey_, tree_);
    EXPECT_TRUE(leaving.at(0).pci_leaves);
    EXPECT_EQ(leaving.at(0).then, Then::stale);
    survey_.has_pci_hook = false;
    EXPECT_EQ(found(), "pcidevs/0000:04:00.0 device_leaving (told)\n") << "its hypervisor's part would stay";
}

TEST_F(XenstoreSurveyTest, UsbDeviceWhoseControllerIsGoneIsAbsent)
{
    entry("usbdevs", "0.1", R"({"ctrl":0,"port":1,"type.hostdev":{"hostbus":1,"hostaddr":9}})");
    EXPECT_EQ(found(), "usbdevs/0.1 device_absent\n");
    const auto absent = compare(survey_, tree_);
    EXPECT_EQ(absent.at(0).absent, "/libxl/7/device/vusb/0") << "which has to be proved";
    EXPECT_EQ(absent.at(0).then, Then::stale);
    device("vusb", "0", "qusb");
    node("/local/domain/0/backend/qusb/7/0/port/1", "1-4");
    entry("usbctrls", "0", R"({"type":"qusb","devid":0})");
    EXPECT_EQ(found(), "");
}

// What QEMU has goes into libxl's list; what it has not goes only with the hypervisor's part.
TEST_F(XenstoreSurveyTest, ListOfPciDevicesFollowsQemu)
{
    survey_.traits.type = DomainType::hvm;
    survey_.qemu_was_seen = true;
    const std::string list = "/local/domain/0/backend/pci/7/0";
    entry("pcidevs", "0000:04:00.0", R"({"bus":4})", "present", "qemu");
    entry("pcidevs", "#5", R"({"name":"gpu"})", "present", "qemu");
    EXPECT_EQ(found(), "pcidevs/0000:04:00.0 copy_differs\n");
    const auto lost = compare(survey_, tree_);
    EXPECT_EQ(lost.at(0).pci, (PciAddress{0, 4, 0, 0}));
    EXPECT_FALSE(lost.at(0).pci_leaves);
    node(list + "/num_devs", "1");
    node(list + "/dev-0", "0000:04:00.0");
    EXPECT_EQ(found(), "");
    survey_.things[0].state = "stale";
    EXPECT_EQ(found(), "pcidevs/0000:04:00.0 copy_differs (told)\n");
    survey_.has_pci_hook = true;
    EXPECT_EQ(found(), "pcidevs/0000:04:00.0 copy_differs\n");
    EXPECT_TRUE(compare(survey_, tree_).at(0).pci_leaves);
    // Settled by what QEMU showed, without the hypervisor's part.
    survey_.things.clear();
    EXPECT_EQ(found(), "pci/0000:04:00.0 copy_differs\n");
    survey_.has_pci_hook = false;
    EXPECT_EQ(found(), "pci/0000:04:00.0 copy_differs (told)\n");
}

// The first that an attach writes, and the last that a detach takes away.
TEST_F(XenstoreSurveyTest, NoteOfAPciDeviceThatTheDomainDoesNotHaveGoes)
{
    node("/libxl/pci/0000-03-00-0/domid", "7");
    node("/libxl/pci/0000-04-00-0/domid", "8");
    node("/libxl/pci/0000-05-00-0/driver_path", "/sys/bus/pci/drivers/e1000e");
    EXPECT_EQ(found(), "pci/0000:03:00.0 pci_owner_left\n");
    const auto left = compare(survey_, tree_);
    ASSERT_EQ(left.at(0).nodes.size(), 1U);
    EXPECT_EQ(left.at(0).nodes[0].path, "/libxl/pci/0000-03-00-0/domid");
    survey_.traits.type = DomainType::hvm;
    EXPECT_EQ(found(), "") << "QEMU was not asked";
    survey_.qemu_was_seen = true;
    EXPECT_EQ(found(), "pci/0000:03:00.0 pci_owner_left\n");
    entry("pcidevs", "0000:03:00.0", R"({"bus":3})", "stale", "qemu");
    EXPECT_EQ(found(), "pci/0000:03:00.0 pci_owner_left\n");
    survey_.open = {1};
    EXPECT_EQ(found(), "") << "its detach or attach is under way";
    survey_.open.clear();
    survey_.things[0].name.key = "#5";
    survey_.things[0].state = "present";
    const auto by_name = found();
    EXPECT_EQ(by_name.find("pci_owner_left"), std::string::npos) << "it may be that one: " << by_name;
}

TEST_F(XenstoreSurveyTest, ScriptIsRunWhereItIsOursAndItsBackEndIsReady)
{
    const std::string libxl_node = "/libxl/7/device/vif/0";
    const std::string back = "/local/domain/0/backend/vif/7/0";
    device("vif", "0", "vif");
    node(libxl_node + "/script", "/etc/xen/scripts/vif-bridge");
    entry("nics", "0", R"({"devid":0})");
    EXPECT_EQ(found(), "nics/0 device_unconnected (told)\n") << "another program's";
    survey_.runs_scripts = true;
    EXPECT_EQ(found(), "nics/0 device_unconnected\n");
    auto one = compare(survey_, tree_).at(0);
    ASSERT_TRUE(one.script);
    EXPECT_EQ(one.script->back + " " + one.script->script, back + " /etc/xen/scripts/vif-bridge");
    EXPECT_EQ(one.script_action, ScriptAction::add);
    node(back + "/state", "1");
    EXPECT_EQ(found(), "nics/0 device_unconnected (told)\n") << "no driver has set it up";
    node(back + "/hotplug-status", "connected");
    EXPECT_EQ(found(), "");
    // On its way out it is run once more, before the nodes go.
    node(back + "/online", "0");
    node(back + "/state", "6");
    one = compare(survey_, tree_).at(0);
    EXPECT_EQ(one.code, Code::device_leaving);
    ASSERT_TRUE(one.script);
    EXPECT_EQ(one.script_action, ScriptAction::remove);
}

// The drive's primary is xenstore: the entry follows it.
TEST_F(XenstoreSurveyTest, MediumOfADriveOfXenstoreIsBelieved)
{
    const std::string back = "/local/domain/0/backend/qdisk/7/51760";
    device("vbd", "51760", "qdisk");
    node(back + "/params", "aio:/a.iso");
    entry("disks", "xvdd", R"({"pdev_path":"/a.iso","vdev":"xvdd","format":"raw","is_cdrom":1})");
    EXPECT_EQ(found(), "");
    node(back + "/params", "qcow2:/b");
    EXPECT_EQ(found(), "disks/xvdd medium_other\n");
    EXPECT_EQ(compare(survey_, tree_).at(0).json,
              R"({"pdev_path":"/b","vdev":"xvdd","format":"qcow2","is_cdrom":1})");
    node(back + "/params", "");
    EXPECT_EQ(compare(survey_, tree_).at(0).json,
              R"({"pdev_path":"","vdev":"xvdd","format":"empty","is_cdrom":1})");
    node(back + "/params", "aio:/\xff");
    EXPECT_EQ(found(), "disks/xvdd device_strange (told)\n");
    survey_.things[0].json = R"({"pdev_path":"/a.iso","vdev":"xvdd","format":"raw"})";
    EXPECT_EQ(found(), "") << "no CD drive: its image does not change";
}

TEST_F(XenstoreSurveyTest, UsbDeviceThatTheHostShowsIsAdopted)
{
    device("vusb", "0", "qusb");
    node("/local/domain/0/backend/qusb/7/0/port/1", "1-4");
    entry("usbctrls", "0", R"({"type":"qusb","devid":0})");
    EXPECT_EQ(found(), "usbdevs/0.1 device_strange (told)\n");
    survey_.usb_at =
        [](const std::string& port) -> std::optional<std::pair<std::int64_t, std::int64_t>> {
        if (port != "1-4") return std::nullopt;
        return std::pair{1, 9};
    };
    survey_.traits.controllers = {{0, false}};
    EXPECT_EQ(found(), "usbdevs/0.1 device_unknown\n");
    EXPECT_EQ(compare(survey_, tree_).at(0).json,
              R"({"ctrl":0,"port":1,"type.hostdev":{"hostbus":1,"hostaddr":9}})");
}

}  // namespace
}  // namespace xlstore::recovery
