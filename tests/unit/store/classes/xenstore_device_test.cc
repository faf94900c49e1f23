// SPDX-License-Identifier: MIT
// What is expected here is what libxl 4.17 wrote into xenstore for such an element, but for the
// paths and states that all devices have.
#include "store/classes/xenstore_device.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "store/text/json_text.hpp"

namespace xlstore {
namespace {

constexpr const char* kRandom = "ffa0b1c2d3";
constexpr const char* kUuid = "11111111-2222-3333-4444-555555555555";

std::string listed(std::vector<XenstoreKey> keys)
{
    std::sort(keys.begin(), keys.end(),
              [](const XenstoreKey& a, const XenstoreKey& b) { return a.name < b.name; });
    std::string text;
    for (const auto& key : keys)
        text += (text.empty() ? "" : " ") + key.name + "=" + key.value;
    return text;
}

Result<XenstoreDevice> device_of(const std::string& device_class, const std::string& json,
                                 const XenstoreHost& host = {})
{
    auto whole = with_libxl_choices(device_class, json, DomainType::pv, 3, kRandom, kUuid);
    if (!whole) return whole.error();
    return xenstore_device(device_class, *whole, host);
}

void expect(const std::string& device_class, const std::string& json, const std::string& where,
            const std::string& back, const std::string& front, const std::string& fixed = {})
{
    SCOPED_TRACE(device_class);
    const auto device = device_of(device_class, json);
    ASSERT_TRUE(device) << device.error().message;
    EXPECT_EQ(device->kind + " " + device->backend_kind + " " + std::to_string(device->number) +
                  " " + std::to_string(device->backend_domid),
              where);
    EXPECT_EQ(listed(device->back), back);
    EXPECT_EQ(listed(device->front), front);
    EXPECT_EQ(listed(device->fixed), fixed);
}

TEST(XenstoreDevice, DisksAndNicsAsLibxlWritesThem)
{
    expect("disks", R"({"pdev_path":"/srv/a.qcow2","vdev":"xvda","format":"qcow2","readwrite":1})",
           "vbd qdisk 51712 0",
           "bootable=1 dev=xvda device-type=disk discard-enable=1 mode=w params=qcow2:/srv/a.qcow2 "
           "removable=0 specification=xen type=qdisk",
           "device-type=disk trusted=1 virtual-device=51712");
    expect("disks", R"({"pdev_path":"/srv/d.qcow2","vdev":"xvdb","format":"qcow2"})",
           "vbd qdisk 51728 0",
           "bootable=1 dev=xvdb device-type=disk discard-enable=0 mode=r params=qcow2:/srv/d.qcow2 "
           "removable=0 specification=xen type=qdisk",
           "device-type=disk trusted=1 virtual-device=51728");
    expect("disks",
           R"({"backend_domid":3,"backend_domname":"3","pdev_path":"tank/vol","vdev":"xvdz",)"
           R"("format":"raw","direct_io_safe":true,"trusted":"False"})",
           "vbd vbd 268441856 3",
           "bootable=1 dev=xvdz device-type=disk direct-io-safe=1 discard-enable=0 mode=r "
           "params=tank/vol removable=0 script=/etc/xen/scripts/block specification=xen type=phy",
           "device-type=disk trusted=0 virtual-device=268441856");
    expect("nics",
           R"({"devid":1,"mac":"00:16:3e:aa:bb:02","ip":"10.0.0.2","bridge":"xenbr1",)"
           R"("nictype":"vif","rate_bytes_per_interval":18446744073709551615,)"
           R"("rate_interval_usecs":50000})",
           "vif vif 1 0",
           "bridge=xenbr1 handle=1 hotplug-status= ip=10.0.0.2 mac=00:16:3e:aa:bb:02 "
           "rate=18446744073709551615,50000 script=/etc/xen/scripts/vif-bridge type=vif",
           "handle=1 mac=00:16:3e:aa:bb:02 trusted=1", "mtu=1500");
    expect("nics", R"({"mtu":9000,"script":"vif-route","ifname":"web0","trusted":"False"})",
           "vif vif 3 0",
           "bridge=xenbr0 handle=3 hotplug-status= mac=00:16:3e:7f:a0:b1 mtu=9000 "
           "script=/etc/xen/scripts/vif-route type=vif vifname=web0",
           "handle=3 mac=00:16:3e:7f:a0:b1 trusted=0", "mtu=9000");
}

TEST(XenstoreDevice, TheOtherClassesAsLibxlWritesThem)
{
    expect("vtpms", R"({"backend_domname":"0","devid":0})", "vtpm vtpm 0 0",
           "handle=0 resume=False uuid=11111111-2222-3333-4444-555555555555", "handle=0");
    expect("vfbs",
           R"({"devid":0,"vnc":{"enable":"True","listen":"127.0.0.1","findunused":"True"},)"
           R"("sdl":{},"keymap":"en-us"})",
           "vfb vfb 0 0", "opengl=0 sdl=0 vnc=1 vncdisplay=0 vnclisten=127.0.0.1 vncunused=1", "");
    expect("vkbs", R"({"devid":0})", "vkbd vkbd 0 0", "", "");
    expect("vkbs",
           R"({"devid":0,"backend_type":"linux","unique_id":"kbd-0","feature_multi_touch":true,)"
           R"("width":1280,"height":800})",
           "vkbd vinput 0 0",
           "feature-multi-touch=1 height=800 multi-touch-height=0 multi-touch-num-contacts=0 "
           "multi-touch-width=0 unique-id=kbd-0 width=1280",
           "");
    expect("p9s", R"({"tag":"share","path":"/srv/share","security_model":"none","devid":0})",
           "9pfs 9pfs 0 0", "path=/srv/share security_model=none", "tag=share");
    expect("vdispls",
           R"({"devid":0,"be_alloc":true,"connectors":[{"unique_id":"c0","width":1920,)"
           R"("height":1080}]})",
           "vdispl vdispl 0 0", "", "", "0/resolution=1920x1080 0/unique-id=c0 be-alloc=1");
    expect("vsnds",
           R"({"devid":0,"short_name":"card","params":{"sample_rates":[44100,48000]},)"
           R"("pcms":[{"name":"pcm0","params":{"sample_formats":["s16_le"]},)"
           R"("streams":[{"unique_id":"s0","type":"c","params":{"channels_max":2}}]}]})",
           "vsnd vsnd 0 0", "",
           "0/0/channels-max=2 0/0/type=c 0/0/unique-id=s0 0/name=pcm0 0/sample-formats=s16_le "
           "sample-rates=44100,48000 short-name=card");
    expect("channels", R"({"devid":1,"name":"org.example","connection.pty":{}})",
           "console console 1 0", "connection=pty name=org.example protocol=vt100",
           "protocol=vt100", "limit=1048576 name=org.example output=pty tty= type=ioemu");
    expect("usbctrls", R"({"type":"qusb","devid":0,"ports":2})", "vusb qusb 0 0",
           "num-ports=2 port= port/1= port/2= type=qusb usb-ver=2", "");
    expect("usbctrls", R"({"type":"pv"})", "vusb vusb 3 0",
           "num-ports=8 port= port/1= port/2= port/3= port/4= port/5= port/6= port/7= port/8= "
           "type=pv usb-ver=2",
           "");
}

TEST(XenstoreDevice, ADeviceOfTheHostIsABlockBackEnds)
{
    XenstoreHost host;
    host.block_device = true;
    const auto disk = device_of(
        "disks", R"({"pdev_path":"/dev/vg/a","vdev":"xvda","format":"raw","readwrite":1})", host);
    ASSERT_TRUE(disk);
    EXPECT_EQ(disk->backend_kind, "vbd");
    const auto file =
        device_of("disks", R"({"pdev_path":"/a","vdev":"xvda","format":"raw","readwrite":1})");
    ASSERT_TRUE(file);
    EXPECT_EQ(file->backend_kind, "qdisk");
}

TEST(XenstoreDevice, WhatLibxlChoosesStandsWhereLibxlWritesIt)
{
    const auto chosen = [](const std::string& device_class, const std::string& json) {
        const auto whole =
            with_libxl_choices(device_class, json, DomainType::pv, 3, kRandom, kUuid);
        return whole ? *whole : whole.error().message;
    };
    EXPECT_EQ(chosen("nics", R"({"bridge":"b","trusted":"False"})"),
              R"({"devid":3,"mac":"00:16:3e:7f:a0:b1","bridge":"b","nictype":"vif",)"
              R"("trusted":"False"})");
    EXPECT_EQ(chosen("nics", R"({"devid":0,"mac":"00:16:3e:00:00:01","nictype":"vif"})"),
              R"({"devid":0,"mac":"00:16:3e:00:00:01","nictype":"vif"})");
    EXPECT_EQ(chosen("vkbs", R"({"unique_id":"k"})"), R"({"devid":3,"unique_id":"k"})");
    EXPECT_EQ(chosen("disks", R"({"vdev":"xvda"})"), R"({"vdev":"xvda"})");
    EXPECT_EQ(chosen("usbctrls", R"({"type":"pv"})"),
              R"({"type":"pv","devid":3,"version":2,"ports":8})");
}

TEST(XenstoreDevice, WhatCannotBeWrittenIsNamed)
{
    const auto why = [](const std::string& device_class, const std::string& json) {
        const auto device = device_of(device_class, json);
        if (device) return std::string("no error");
        EXPECT_EQ(device.error().code, Errc::invalid);
        return device.error().message;
    };
    const auto named = [&](const std::string& device_class, const std::string& json,
                           const std::string& word) {
        const auto message = why(device_class, json);
        EXPECT_TRUE(message.starts_with(device_class + ": ")) << message;
        EXPECT_NE(message.find(word), std::string::npos) << message;
    };
    named("disks", R"({"pdev_path":"/a","format":"raw"})", "vdev");
    named("disks", R"({"pdev_path":"/a","vdev":"xvda"})", "format");
    named("disks", R"({"vdev":"xvda","format":"raw"})", "pdev_path");
    named("disks", R"({"vdev":"xvda","format":"empty"})", "empty");
    named("disks", R"({"pdev_path":"/a","vdev":"xvda","format":"qcow2","backend":"phy"})", "phy");
    named("disks", R"({"pdev_path":"/a","vdev":"xvda","format":"raw","backend":"tap"})", "tap");
    named("disks", R"({"pdev_path":"/a","vdev":"xvda","format":"raw","specification":"virtio"})",
          "virtio");
    named("disks", R"({"pdev_path":"/a","vdev":"xvda","format":"qcow2","script":"block-x"})",
          "script");
    named("disks", R"({"pdev_path":"/a","vdev":"xvda","format":"raw","colo_enable":"True"})",
          "COLO");
    named("disks", R"({"pdev_path":"/a","vdev":"xvda","format":"empty","is_cdrom":1})", "empty");
    named("disks", R"({"pdev_path":"/a\u0000b","vdev":"xvda","format":"raw"})", "pdev_path");
    named("nics", R"({"nictype":"vif_ioemu"})", "emulated");
    named("nics", R"({"colo_compare_out":"x"})", "COLO");
    named("nics", R"({"backend_domname":"driver"})", "backend_domid");
    named("nics", R"({"backend_domid":-1})", "backend_domid");
    named("nics", R"({"devid":4294967296})", "devid");
    named("p9s", R"({"tag":"a","path":"/a"})", "security_model");
    named("p9s", R"({"tag":"a","path":"/a","security_model":"none","type":"xen_9pfsd"})", "daemon");
    named("channels", R"({"devid":1,"connection.pty":{}})", "name");
    named("channels", R"({"devid":0,"name":"n","connection.pty":{}})", "console");
    named("channels", R"({"name":"n","connection.socket":{"path":"/s"}})", "connection.pty");
    named("usbctrls", "{}", "type");
    named("usbctrls", R"({"type":"pv","version":3})", "version");
    named("usbctrls", R"({"type":"pv","version":-1})", "version");
    named("usbctrls", R"({"type":"pv","ports":32})", "ports");
    named("usbctrls", R"({"type":"pv","ports":-1})", "ports");
    named("virtios", "{}", "none of this class");
    named("pvcallsifs", "{}", "none of this class");
}

}  // namespace
}  // namespace xlstore
