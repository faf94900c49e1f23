// SPDX-License-Identifier: MIT
// What xenstore has of a domain's devices, and the elements that are made of it. Nodes are those
// that libxl 4.17 writes.
#include "store/xenstore/xen_device.hpp"

#include <gtest/gtest.h>

#include <sstream>

#include "store/model/device_class.hpp"

namespace xlstore::xenstore {
namespace {

// Lines "/path value".
Tree tree_of(const std::string& text)
{
    Tree tree;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        const auto blank = line.find(' ');
        const auto path = line.substr(0, blank);
        for (auto at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
            tree.nodes.emplace(path.substr(0, at), "");
        tree.nodes[path] = blank == std::string::npos ? "" : line.substr(blank + 1);
    }
    return tree;
}

// A whole device of domain 7: libxl's node with `nodes` ("key value" each), front and back end.
std::string device(const std::string& front, int devid, const std::string& back,
                   const std::vector<std::string>& nodes)
{
    const std::string number = std::to_string(devid);
    const std::string libxl_node = "/libxl/7/device/" + front + "/" + number;
    const std::string frontend = front == "console" && devid == 0
                                     ? std::string("/local/domain/7/console")
                                     : "/local/domain/7/device/" + front + "/" + number;
    const std::string backend = "/local/domain/0/backend/" + back + "/7/" + number;
    std::string text = libxl_node + "/frontend " + frontend + "\n" + libxl_node + "/backend " +
                       backend + "\n" + frontend + "/backend " + backend + "\n" + backend +
                       "/state 2\n";
    for (const auto& node : nodes)
        text += libxl_node + "/" + node + "\n";
    return text;
}

struct Made {
    std::string front, back;
    int devid;
    std::vector<std::string> nodes;
    std::string json;
};

class ElementTest : public testing::TestWithParam<Made> {};

TEST_P(ElementTest, HasWhatTheNodesSay)
{
    const auto& made = GetParam();
    const Tree tree = tree_of(device(made.front, made.devid, made.back, made.nodes));
    const auto devices = xen_devices(tree, 7);
    ASSERT_EQ(devices.size(), 1u);
    EXPECT_TRUE(devices[0].whole()) << devices[0].flaw;
    const auto element = element_of(tree, devices[0]);
    EXPECT_EQ(element.flaw, "");
    EXPECT_EQ(element.json, made.json);
    // It is the thing that it says.
    const auto* of = find_device_class(devices[0].kind->device_class);
    const auto key = thing_key(*of, element.json, 0);
    ASSERT_TRUE(key);
    EXPECT_EQ(is_thing(tree, devices[0], {std::string(of->name), *key}, element.json), true);
}

const std::string kUuid = "11111111-2222-3333-4444-555555555555";
INSTANTIATE_TEST_SUITE_P(
    Classes, ElementTest,
    testing::Values(
        Made{
            "vbd",
            "qdisk",
            51712,
            {"params qcow2:/srv/a:b.qcow2", "dev xvda", "type qdisk", "mode w", "removable 0",
             "device-type disk", "discard-enable 1", "specification xen"},
            R"({"pdev_path":"/srv/a:b.qcow2","vdev":"xvda","backend":"qdisk","format":"qcow2","readwrite":1})"},
        Made{
            "vbd",
            "vbd",
            51760,
            {"params /srv/c:1.img", "dev xvdd", "type phy", "mode r",
             "script /etc/xen/scripts/block", "device-type disk"},
            R"({"pdev_path":"/srv/c:1.img","vdev":"xvdd","backend":"phy","format":"raw","script":"/etc/xen/scripts/block"})"},
        Made{
            "vbd",
            "qdisk",
            5632,
            {"params", "dev hdc", "type qdisk", "mode r", "removable 1", "device-type cdrom"},
            R"({"pdev_path":"","vdev":"hdc","backend":"qdisk","format":"empty","removable":1,"is_cdrom":1})"},
        Made{"vbd",
             "qdisk",
             51713,
             {"params aio:/p", "dev xvda1", "type qdisk", "mode w"},
             R"({"pdev_path":"/p","vdev":"xvda1","backend":"qdisk","format":"raw","readwrite":1})"},
        Made{"vbd",
             "qdisk",
             51728,
             {"params tap:/p", "dev xvdb", "type qdisk", "direct-io-safe 1"},
             R"({"pdev_path":"/p","vdev":"xvdb","backend":"qdisk","direct_io_safe":true})"},
        Made{"vif",
             "vif",
             1,
             {"mac 00:16:3e:aa:bb:02", "bridge xenbr1", "ip 10.0.0.2", "rate 500000,50000",
              "mtu 9000", "script /etc/xen/scripts/vif-bridge", "type vif_ioemu",
              "hotplug-status connected"},
             R"({"devid":1,"mtu":9000,"mac":"00:16:3e:aa:bb:02","ip":"10.0.0.2","bridge":"xenbr1",)"
             R"("script":"/etc/xen/scripts/vif-bridge","nictype":"vif_ioemu",)"
             R"("rate_bytes_per_interval":500000,"rate_interval_usecs":50000})"},
        Made{"vtpm", "vtpm", 0, {"uuid " + kUuid}, R"({"devid":0,"uuid":")" + kUuid + R"("})"},
        Made{"vkbd",
             "vinput",
             1,
             {"unique-id K1", "backend-type linux", "feature-abs-pointer 1", "width 640"},
             R"({"devid":1,"backend_type":"linux","unique_id":"K1","feature_abs_pointer":true,)"
             R"("width":640})"},
        Made{
            "vfb",
            "vfb",
            0,
            {"vnc 1", "vnclisten 127.0.0.1", "vncpasswd secret", "vncdisplay 5", "vncunused 0",
             "sdl 0", "opengl 0", "keymap en-us"},
            R"({"devid":0,"vnc":{"enable":"True","listen":"127.0.0.1","passwd":"secret","display":5,)"
            R"("findunused":"False"},"sdl":{"enable":"False","opengl":"False"},"keymap":"en-us"})"},
        Made{
            "console",
            "console",
            1,
            {"name org.example.guest", "connection socket", "path /run/xen/agent.sock"},
            R"({"devid":1,"name":"org.example.guest","connection.socket":{"path":"/run/xen/agent.sock"}})"},
        Made{"console",
             "console",
             2,
             {"name tty", "connection pty"},
             R"({"devid":2,"name":"tty","connection.pty":{}})"},
        Made{"9pfs",
             "9pfs",
             0,
             {"tag share", "path /srv/share", "security_model none"},
             R"({"tag":"share","path":"/srv/share","security_model":"none","devid":0})"},
        Made{"vusb",
             "qusb",
             0,
             {"type qusb", "usb-ver 2", "num-ports 8"},
             R"({"type":"qusb","devid":0,"version":2,"ports":8})"},
        Made{"virtio",
             "virtio",
             0,
             {"type virtio,device", "transport mmio", "irq 33"},
             R"({"type":"virtio,device","transport":"mmio","devid":0,"irq":33})"},
        Made{"pvcalls", "pvcalls", 2, {}, R"({"devid":2})"},
        Made{"vdispl", "vdispl", 0, {}, R"({"devid":0})"},
        Made{"vsnd", "vsnd", 0, {}, R"({"devid":0})"}));

// What a toolstack never writes makes no element; the device is told all the same.
TEST(XenElementTest, ValueThatNoToolstackWritesMakesNone)
{
    const std::vector<std::pair<std::string, std::string>> wrong = {
        {"mac 00:16:3e:aa:bb", "mac is no address"},
        {"mtu 12x", "mtu is no number"},
        {"mtu 99999999999", "mtu is no number"},
        {"bridge x\x01", "bridge is no text"},
        {"ip \xff\xfe", "ip is no text"},
        {"type vif2", "type is no type"},
        {"rate 5,5,5", "rate is no rate"},
        {"rate 5,", "rate is no rate"},
        {"rate 5", "rate is no rate"},
        {"rate -5,5", "rate is no rate"},
        {"rate 5, 5", "rate is no rate"},
        {"rate 99999999999999999999,5", "rate is no rate"},
    };
    for (const auto& [node, why] : wrong) {
        const Tree tree = tree_of(device("vif", 0, "vif", {node}));
        const auto element = element_of(tree, xen_devices(tree, 7).at(0));
        EXPECT_EQ(element.json, "") << node;
        EXPECT_NE(element.flaw.find(why), std::string::npos) << element.flaw;
    }
}

TEST(XenElementTest, WordThatIsNotLibxlsMakesNone)
{
    const struct {
        std::string front, back, node, why;
    } rows[] = {
        {"vif", "vif", "mac 00:16:3e:aa:bb-02", "mac is no address"},
        {"vif", "vif", "mac 00:16:3e:aa:bb:0g", "mac is no address"},
        {"vbd", "qdisk", "type blktap9", "type is no back end"},
        {"vbd", "qdisk", "type qdisk", "dev is missing"},
        {"vtpm", "vtpm", "uuid 12", "uuid is no uuid"},
        {"vkbd", "vinput", "backend-type other", "backend-type is not one of libxl's words"},
        {"console", "console", "connection smoke", "connection is no connection"},
        {"vusb", "qusb", "type usb9", "type is no type"},
    };
    for (const auto& row : rows) {
        const Tree tree = tree_of(device(row.front, 1, row.back, {row.node}));
        const auto element = element_of(tree, xen_devices(tree, 7).at(0));
        EXPECT_EQ(element.json, "") << row.node;
        EXPECT_NE(element.flaw.find(row.why), std::string::npos) << row.node << element.flaw;
    }
}

TEST(XenElementTest, PasswordIsNotShown)
{
    EXPECT_EQ(shown_element(R"({"devid":0,"vnc":{"enable":"True","passwd":"secret"}})"),
              R"({"devid":0,"vnc":{"enable":"True","passwd":"…"}})");
    EXPECT_EQ(shown_element(R"({"devid":0})"), R"({"devid":0})");
}

// The back end's path is the toolstack's, or it is nothing: never a path to read or to remove.
TEST(XenDeviceTest, PathThatLeadsElsewhereIsAFlaw)
{
    for (const char* path : {
             "/local/domain/0/backend/qdisk/8/51712",     // another domain's
             "/local/domain/0/backend/qdisk/7/51728",     // another disk's
             "/local/domain/0/backend/vif/7/51712",       // another kind
             "/local/domain/0/backend/qdisk/7/51712/..",  // and the like
             "/local/domain/00/backend/qdisk/7/51712",
             "/local/domain//backend/qdisk/7/51712",
             "/local/domain/-1/backend/qdisk/7/51712",
             "/local/domain/7/data",
             "/libxl/8",
             "qdisk/7/51712",
         }) {
        const Tree tree = tree_of("/libxl/7/device/vbd/51712/backend " + std::string(path) + "\n" +
                                  std::string(path) + "/state 4\n");
        const auto devices = xen_devices(tree, 7);
        ASSERT_GE(devices.size(), 1u);
        EXPECT_TRUE(devices[0].has_libxl_node);
        EXPECT_EQ(devices[0].backend, "") << path;
        EXPECT_FALSE(devices[0].has_backend);
        EXPECT_NE(devices[0].flaw, "") << path;
        EXPECT_FALSE(devices[0].whole());
        EXPECT_EQ(devices[0].frontend, "/local/domain/7/device/vbd/51712");
    }
}

// The guest's own nodes are never asked.
TEST(XenDeviceTest, FrontEndIsTheGuestsAndTellsNothing)
{
    const Tree tree = tree_of(
        "/local/domain/7/device/vbd/51712/backend /local/domain/0/backend/qdisk/8/51712\n"
        "/local/domain/7/device/vif/9/mac 00:16:3e:00:00:01\n");
    EXPECT_TRUE(xen_devices(tree, 7).empty());
    Tree whole = tree_of(device("vbd", 51712, "qdisk", {"dev xvda", "type qdisk"}));
    whole.nodes["/local/domain/7/device/vbd/51712/backend"] = "/local/domain/0/backend/qdisk/8/1";
    whole.nodes["/local/domain/7/device/vbd/51712/params"] = "aio:/etc/shadow";
    const auto devices = xen_devices(whole, 7);
    ASSERT_EQ(devices.size(), 1u);
    EXPECT_TRUE(devices[0].whole());
    EXPECT_EQ(element_of(whole, devices[0]).json,
              R"({"pdev_path":"","vdev":"xvda","backend":"qdisk","format":"empty"})");
}

TEST(XenDeviceTest, NumbersAreAsLibxlSpellsThem)
{
    const Tree tree = tree_of(
        "/libxl/7/device/vbd/051712/dev a\n/libxl/7/device/vbd/-1/dev a\n"
        "/libxl/7/device/vbd/x/dev a\n/libxl/7/device/vbd/99999999999/dev a\n"
        "/libxl/7/device/unheard-of/0/dev a\n/libxl/77/device/vbd/1/dev a\n");
    EXPECT_TRUE(xen_devices(tree, 7).empty());
}

TEST(XenDeviceTest, MissingPartsAreSeen)
{
    Tree tree = tree_of(device("vif", 0, "vif", {}) + device("vbd", 51712, "qdisk", {"dev xvda"}));
    tree.nodes.erase("/local/domain/0/backend/vif/7/0");
    tree.nodes.erase("/local/domain/0/backend/vif/7/0/state");
    std::erase_if(tree.nodes,
                  [](const auto& node) { return node.first.starts_with("/libxl/7/device/vbd"); });
    const auto devices = xen_devices(tree, 7);
    ASSERT_EQ(devices.size(), 2u);
    EXPECT_EQ(devices[0].name(), "vif/0");
    EXPECT_TRUE(devices[0].has_libxl_node && devices[0].has_frontend && !devices[0].has_backend);
    EXPECT_EQ(devices[1].name(), "vbd/51712");
    EXPECT_TRUE(!devices[1].has_libxl_node && devices[1].has_frontend && devices[1].has_backend);
    EXPECT_EQ(devices[1].backend, "/local/domain/0/backend/qdisk/7/51712");
}

TEST(XenDeviceTest, DriverDomainsAreFound)
{
    std::string text = device("vif", 0, "vif", {});
    for (auto at = text.find("/domain/0/"); at != std::string::npos; at = text.find("/domain/0/"))
        text.replace(at, 10, "/domain/3/");
    const Tree tree = tree_of(text);
    const auto roots = driver_domain_roots(tree, 7);
    EXPECT_NE(std::find(roots.begin(), roots.end(), "/local/domain/3/backend/vif/7"), roots.end());
    const auto devices = xen_devices(tree, 7);
    ASSERT_EQ(devices.size(), 1u);
    EXPECT_EQ(devices[0].backend_domid, 3);
    EXPECT_EQ(element_of(tree, devices[0]).json,
              R"({"backend_domid":3,"devid":0,"nictype":"vif"})");
}

TEST(XenDeviceTest, ControllerOfTheDeviceModelHasANoteAlone)
{
    const Tree tree = tree_of(
        "/libxl/7/device/vusb/0/type devicemodel\n/libxl/7/device/vusb/0/usb-ver 3\n"
        "/libxl/7/device/vusb/0/num-ports 6\n/libxl/7/device/vusb/0/port/1 1-4\n"
        "/libxl/7/device/vusb/0/port/2\n");
    const auto devices = xen_devices(tree, 7);
    ASSERT_EQ(devices.size(), 1u);
    EXPECT_TRUE(devices[0].whole());
    EXPECT_EQ(element_of(tree, devices[0]).json,
              R"({"type":"devicemodel","devid":0,"version":3,"ports":6})");
    const std::vector<std::pair<std::int32_t, std::string>> used = {{1, "1-4"}};
    EXPECT_EQ(used_ports(tree, devices[0]), used);
}

TEST(XenDeviceTest, ListOfPciDevices)
{
    const std::string list = "/local/domain/0/backend/pci/7/0";
    const Tree tree =
        tree_of(list + "/num_devs 3\n" + list + "/dev-0 0000:03:00.0\n" + list + "/vdevfn-0 e0\n" +
                list + "/opts-0 msitranslate=0,power_mgmt=0,permissive=1,rdm_policy=strict\n" +
                list + "/dev-1 10000:ff:1f.7\n" + list + "/dev-2 0000:300:00.0\n");
    const auto devices = xen_pci_devices(tree, 7);
    ASSERT_EQ(devices.size(), 2u);
    EXPECT_EQ(devices[0].key, "0000:03:00.0");
    EXPECT_EQ(devices[0].json, R"({"bus":3,"vdevfn":224,"permissive":true,"rdm_policy":"strict"})");
    EXPECT_EQ(devices[1].key, "10000:ff:1f.7");
    EXPECT_EQ(*thing_key(*find_device_class("pcidevs"), devices[1].json, 0), devices[1].key);
}

// What a damaged list has is no address, however much of one it begins with.
TEST(XenDeviceTest, PciDevicesThatHaveNoAddressAreNone)
{
    const std::string list = "/local/domain/0/backend/pci/7/0";
    for (const std::string at : {"", "0000:03:00", "0000:03:00.0y", "0000:100:00.0", "0000:03:20.0",
                                 "0000:03:00.8", "80000000:03:00.0", "0000:03:00.000000",
                                 "0000:03:00.0x", "0x0:03:00.0", "0000:-3:00.0", " 0000:03:00.0"}) {
        const Tree tree = tree_of(list + "/num_devs 1\n" + list + "/dev-0 " + at + "\n");
        EXPECT_TRUE(xen_pci_devices(tree, 7).empty()) << at;
    }
    const Tree named =
        tree_of(list + "/num_devs 1\n" + list + "/dev-0 0000:03:00.0\n" + list + "/name-0 nic\n" +
                list + "/vdevfn-0 0xe0\n" + list + "/opts-0 rdm_policy=relaxed\n");
    ASSERT_EQ(xen_pci_devices(named, 7).size(), 1u);
    EXPECT_EQ(xen_pci_devices(named, 7)[0].json,
              R"({"bus":3,"rdm_policy":"relaxed","name":"nic"})");
}

TEST(XenDeviceTest, WhatLibxlMakesByItself)
{
    const Tree tree = tree_of(device("console", 0, "console", {}) + device("vkbd", 0, "vkbd", {}) +
                              device("vkbd", 1, "vinput", {}));
    const auto devices = xen_devices(tree, 7);
    ASSERT_EQ(devices.size(), 3u);
    for (const auto& one : devices) {
        EXPECT_TRUE(one.whole()) << one.name();
        EXPECT_EQ(is_of_domain(one, true), one.devid == 0) << one.name();
        EXPECT_EQ(is_of_domain(one, false), one.name() == "console/0") << one.name();
    }
}

TEST(XenDeviceTest, ThingWithoutANumberMayBeAnyOfItsKind)
{
    const Tree tree = tree_of(device("vkbd", 1, "vinput", {}));
    const auto one = xen_devices(tree, 7).at(0);
    EXPECT_EQ(is_thing(tree, one, {"vkbs", "#0"}, R"({"unique_id":"K1"})"), std::nullopt);
    EXPECT_EQ(is_thing(tree, one, {"vkbs", "#0"}, R"({"devid":0})"), false);
    EXPECT_EQ(is_thing(tree, one, {"vfbs", "#0"}, R"({"devid":1})"), false);
}

}  // namespace
}  // namespace xlstore::xenstore
