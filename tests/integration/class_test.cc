// SPDX-License-Identifier: MIT
// The device classes of libxl on a real QEMU: what each sends, what stays in the document.
#include <filesystem>
#include <map>

#include "store/core/domain.hpp"
#include "recovery/runs/recover.hpp"
#include "store/core/journal.hpp"
#include "store/operation/operation.hpp"
#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

using std::chrono::seconds;

class ClassTest : public DomainTest {
protected:
    /// A removal that needs its guest: asked for, in doubt; a reset makes the firmware let go.
    void detached_by_a_reset(const std::string& device_class, const std::string& key)
    {
        const Ran asked = xl({"--json", "--timeout", "0.5", "detach", "7", device_class, key});
        ASSERT_TRUE(ended(asked, 3));
        EXPECT_TRUE(contains(json_at(asked.out, "$.error.message"), "waiting for the guest"));
        const auto number = json_at(asked.out, "$.error.intent");
        EXPECT_TRUE(contains(xl({"intents"}).out, "waiting for the guest"));
        ASSERT_TRUE(contains(qmp(domain_.judge(), "system_reset"), "return"));
        EXPECT_TRUE(ended(xl({"--timeout", "20", "wait", number}), 0));
        EXPECT_EQ(entry(key), "");
    }
    std::string exported(const std::string& path) { return json_at(xl({"export", "7"}).out, path); }
};

TEST_F(ClassTest, UsbControllersOfEachVersion)
{
    int devid = 1;
    for (const char* version : {"1", "2", "3"}) {
        SCOPED_TRACE(version);
        const auto key = std::to_string(devid++);
        ASSERT_TRUE(ended(xl({"attach", "7", "usbctrls",
                              R"({"devid":)" + key + R"(,"version":)" + version + "}"}),
                          0));
        EXPECT_TRUE(contains(domain_.devices(), "xenusb-" + key));
        const auto exported_controller = "$.usbctrls[" + std::to_string(devid - 2) + "]";
        EXPECT_EQ(exported(exported_controller + ".version"), version);
        // As libxl keeps it: with what it filled in.
        EXPECT_EQ(exported(exported_controller + ".type"), "devicemodel");
        const std::map<std::string, std::string> ports = {{"1", "2"}, {"2", "6"}, {"3", "8"}};
        EXPECT_EQ(exported(exported_controller + ".ports"), ports.at(version));
        EXPECT_TRUE(all_is_settled());
    }
    for (const char* key : {"1", "2", "3"})
        detached_by_a_reset("usbctrls", key);
    EXPECT_EQ(domain_.devices(), "ide-5632 xenusb-0");
    EXPECT_TRUE(all_is_settled());
    refused({"attach", "7", "usbctrls", R"({"type":"devicemodel","devid":4,"version":7})"}, 1,
            "invalid", "version 7");
    refused({"attach", "7", "usbctrls", R"({"devid":4,"version":1,"ports":6})"}, 1, "invalid",
            "version 1 has 2 ports");
    refused({"attach", "7", "nics", R"({"devid":4,"nictype":"vif_ioemu"})"}, 1, "invalid",
            "nictype");
}

TEST_F(ClassTest, UsbDevicesThatQemuEmulates)
{
    const std::string thing = R"({"ctrl":0,"port":2,"type.emulated":{"driver":"usb-tablet"}})";
    ASSERT_TRUE(ended(xl({"attach", "7", "usbdevs", thing}), 0));
    EXPECT_TRUE(contains(domain_.devices(), "xenusb-emulated-0-2"));
    EXPECT_EQ(exported("$.usbdevs[0].port"), "2");
    refused({"attach", "7", "usbdevs", thing}, 1, "exists", "usbdevs/0.2");
    EXPECT_TRUE(ended(xl({"detach", "7", "usbdevs", "0.2"}), 0));
    EXPECT_EQ(domain_.devices(), "ide-5632 xenusb-0");
    EXPECT_TRUE(all_is_settled());
    // The controller is not there: QEMU says so.
    const Ran ran = xl({"--json", "attach", "7", "usbdevs",
                        R"({"ctrl":9,"port":1,"type.emulated":{"driver":"usb-tablet"}})"});
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(code(ran), "refused");
    EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "xenusb-9.0"));
    EXPECT_TRUE(all_is_settled());
}

// libxl's own form. No machine has bus 77: QEMU says so, which shows that it was asked for by bus
// and address.
TEST_F(ClassTest, UsbDeviceThatTheHostHasNotIsRefused)
{
    const Ran ran = xl({"--json", "attach", "7", "usbdevs",
                        R"({"ctrl":0,"port":1,"type.hostdev":{"hostbus":77,"hostaddr":101}})"});
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(code(ran), "refused");
    EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "77:101"));
    EXPECT_EQ(domain_.devices(), "ide-5632 xenusb-0");
    EXPECT_TRUE(all_is_settled());
    refused({"attach", "7", "usbdevs", R"({"ctrl":0,"port":1,"type.hostdev":{"hostbus":77}})"}, 1,
            "invalid", "hostaddr");
}

// A USB device by the host's port. QEMU has none to pass through here: an emulated one stands for it,
// by the id that it would have.
class UsbPortTest : public ClassTest {
protected:
    void plug_in(const std::string& address)
    {
        const std::string device = sysfs_ + "/bus/usb/devices/1-1.4/";
        std::filesystem::create_directories(device);
        write_file(device + "busnum", "1\n");
        write_file(device + "devnum", address + "\n");
    }
    /// What a look at the store says of usbdevs/0.1.
    std::string looked(Store& store)
    {
        recovery::Options options;
        options.mode = recovery::Mode::look;
        std::string said;
        options.found = [&](const recovery::Finding& finding) {
            if (contains(finding.subject, "usbdevs/0.1")) said += finding.evidence;
        };
        (void)store.loop().wait_for(recovery::recover(store, options));
        return said;
    }

    std::string sysfs_ = store_.directory() / "sys";
};

TEST_F(UsbPortTest, IsLookedUpAtEachAttachAndByRecovery)
{
    const auto store = store_.open();
    store->host().sysfs = sysfs_;
    const std::string thing = R"({"ctrl":0,"port":1,"type.hostdev":{"busid":"1-1.4"}})";
    const auto attached = [&]() -> Outcome {
        return store->loop().wait_for(attach(*store, *find_domain(store->db(), "7"), "usbdevs",
                                             thing, Clock::now() + seconds(20)));
    };
    EXPECT_TRUE(contains(attached().error().message, "nothing is plugged into"));
    plug_in("77");  // no such device is there for QEMU: it says so by the address that it was given
    EXPECT_TRUE(contains(attached().error().message, "1:77"));
    EXPECT_EQ(entry("0.1"), "");
    EXPECT_TRUE(all_is_settled());

    ASSERT_TRUE(contains(qmp(domain_.judge(), "device_add",
                             R"({"driver":"usb-tablet","id":"xenusb-1-77","bus":"xenusb-0.0",)"
                             R"("port":"1"})"),
                         "return"));
    auto hold = store->try_slow_lock(find_domain(store->db(), "7")->id, "test");
    ASSERT_TRUE(hold && *hold);
    Journal journal(*store);
    const auto adopted = store->loop().wait_for(journal.adopt(
        **hold, ThingName{"usbdevs", "0.1"},
        R"({"ctrl":0,"port":1,"type.hostdev":{"hostbus":1,"hostaddr":77,"busid":"1-1.4"}})",
        {with_undo(Product{"device", "xenusb-1-77", std::nullopt})}, "test",
        Clock::now() + seconds(20)));
    ASSERT_TRUE(adopted) << adopted.error().message;
    hold->reset();
    EXPECT_EQ(looked(*store), "");
    plug_in("78");
    EXPECT_TRUE(contains(looked(*store), "has device 1:78 now, and QEMU was given 1:77"));
}

class VcpuTest : public testing::Test {
protected:
    ScratchStore store_;
    ScratchDomain domain_{store_, 7, "web", {"-smp", "1,maxcpus=3"}};
};

TEST_F(VcpuTest, AvailableVcpusFollow)
{
    const auto xl = [&](const Words& words) { return xlstore(store_.path(), words); };
    const auto available = [&] { return json_at(xl({"export", "7"}).out, "$.b_info.avail_vcpus"); };
    ASSERT_TRUE(ended(xl({"attach", "7", "vcpus", R"({"index":2})"}), 0));
    ASSERT_TRUE(ended(xl({"attach", "7", "vcpus", R"({"index":1})"}), 0));
    EXPECT_EQ(available(), "[0,1,2]");
    EXPECT_EQ(domain_.devices(), "cpu-1 cpu-2 ide-5632 xenusb-0");
    // What QEMU named for that slot is part of the thing.
    EXPECT_TRUE(contains(sql(store_.path(), "SELECT json FROM thing WHERE key = '2'"),
                         R"("props":{"core-id":2,)"));
    for (const auto& [thing, code] : {std::pair{R"({"index":1})", "exists"},
                                      {R"({"index":3})", "invalid"},
                                      {R"({"index":-1})", "invalid"},
                                      {R"({})", "invalid"}}) {
        const Ran ran = xl({"--json", "attach", "7", "vcpus", thing});
        EXPECT_TRUE(ended(ran, 1));
        EXPECT_EQ(json_at(ran.out, "$.error.code"), code) << thing;
    }
    // Firmware that knows no hotplug of processors gives none back: QEMU refuses to ask it.
    EXPECT_TRUE(ended(xl({"detach", "7", "vcpus", "2"}), 1));
    EXPECT_EQ(available(), "[0,1,2]");
    EXPECT_TRUE(store_and_qemu_agree(store_.path(), domain_.judge()));
}

}  // namespace
}  // namespace xlstore::test
