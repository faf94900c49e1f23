// SPDX-License-Identifier: MIT
// What a PV domain's PCI devices, USB devices and CD drives are in xenstore, with the real
// xenstored. The operations run in this process, which has the hypervisor's part; a thread is the
// back end of the PCI devices.
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "recovery/runs/recover.hpp"
#include "store/core/domain.hpp"
#include "store/operation/operation.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/scratch_xenstored.hpp"

namespace xlstore::test {
namespace {

using std::chrono::seconds;

constexpr const char* kPvUuid = "0badcafe-2222-4333-8444-555566667777";
const std::string kList = "/local/domain/0/backend/pci/7/0";
const std::string kOwner = "/libxl/pci/0000-03-00-0/domid";
const std::string kQusb = "/local/domain/0/backend/qusb/7/0";
const std::string kDrive = "/local/domain/0/backend/qdisk/7/51760";

/// As pciback does: what is to be configured anew is connected again.
class PciBack {
public:
    explicit PciBack(const std::string& socket)
        : thread_([this, socket] {
              XenstoreTool tool(socket);
              while (!over_) {
                  const auto state = tool.read(kList + "/state");
                  if (state == "1" || state == "7") tool.write(kList + "/state", "4");
                  std::this_thread::sleep_for(std::chrono::milliseconds(2));
              }
          })
    {}
    PciBack(const PciBack&) = delete;
    PciBack& operator=(const PciBack&) = delete;
    ~PciBack()
    {
        over_ = true;
        thread_.join();
    }

private:
    std::atomic<bool> over_ = false;
    std::thread thread_;
};

class PvDevicesTest : public testing::Test {
protected:
    void SetUp() override
    {
        XLSTORE_NEEDS_XENSTORED();
        daemon_ = std::make_unique<ScratchXenstored>(scratch_.directory() / "xs");
        setenv("XENSTORED_PATH", daemon_->socket().c_str(), 1);
        tool().load(
            "/libxl/7 = \"\" (n0)\n/libxl/7/device = \"\"\n"
            "/local/domain/7 = \"\" (n0,r7)\n/local/domain/7/device = \"\" (n0,r7)\n"
            "/local/domain/7/vm = \"/vm/" +
            std::string(kPvUuid) + "\"\n/local/domain/0/backend = \"\" (n0,r7)\n");
        tool().introduce(7);
        const std::string document = scratch_.directory() / "pv.json";
        write_file(document, R"({"c_info":{"type":"pv","name":"pv","uuid":")" +
                                 std::string(kPvUuid) + R"("},"b_info":{"type.pv":{}}})");
        ASSERT_TRUE(ended(xlstore(scratch_.path(), {"import", "7", document}), 0));
        const std::string sysfs = scratch_.directory() / "sys";
        for (const auto* device : {"0000:03:00.0", "0000:04:00.0"})
            std::filesystem::create_directories(sysfs + "/bus/pci/drivers/pciback/" + device);
        std::filesystem::create_directories(sysfs + "/bus/usb/devices/1-4");
        write_file(sysfs + "/bus/usb/devices/1-4/busnum", "1\n");
        write_file(sysfs + "/bus/usb/devices/1-4/devnum", "9\n");
        store_ = scratch_.open();
        store_->host().sysfs = sysfs;
        store_->host().pci = [this](const PciTask& task) -> Result<void> {
            done_ += std::string(task.assign ? "assign " : "take back ") + task.address + "; ";
            if (task.assign && !no_.empty()) return Error(Errc::refused, no_);
            return {};
        };
    }
    void TearDown() override
    {
        store_.reset();
        unsetenv("XENSTORED_PATH");
    }
    XenstoreTool& tool() { return daemon_->tool(); }
    std::string value(const std::string& path) { return tool().read(path).value_or("(none)"); }
    std::string entries()
    {
        return sql(scratch_.path(),
                   "SELECT coalesce(group_concat(class || '/' || key || ' ' || state), '') "
                   "FROM thing");
    }
    DomainRow domain() { return *find_domain(store_->db(), "7"); }
    Outcome attaches(const char* device_class, const std::string& json)
    {
        return store_->loop().wait_for(
            attach(*store_, domain(), device_class, json, Clock::now() + seconds(20)));
    }
    Outcome detaches(const char* device_class, const char* key,
                     std::chrono::milliseconds limit = seconds(20))
    {
        return store_->loop().wait_for(
            detach(*store_, domain(), ThingName{device_class, key}, Clock::now() + limit));
    }
    /// As another process removes its entries.
    void forget(const std::string& device_class)
    {
        for (const auto* statement : {"UPDATE thing SET state = 'stale' WHERE class = '",
                                      "DELETE FROM thing WHERE class = '"})
            store_->db().execute(statement + device_class + "'");
    }
    Outcome end_of(Task<Outcome>& task)
    {
        while (!task.done())
            store_->loop().wait_and_dispatch();
        return task.take();
    }
    int fsck(const char* how) { return xlfsck(scratch_.path(), {how}).status; }
    void done(const Outcome& outcome)
    {
        ASSERT_TRUE(outcome) << outcome.error().message << "; " << outcome.error().advice;
    }
    void not_done(const Outcome& outcome, Errc code, const std::string& said)
    {
        ASSERT_FALSE(outcome);
        EXPECT_EQ(outcome.error().code, code) << outcome.error().message;
        EXPECT_TRUE(contains(outcome.error().message, said));
    }

    ScratchStore scratch_;
    std::unique_ptr<ScratchXenstored> daemon_;
    std::unique_ptr<Store> store_;
    std::string done_;  // by the hook
    std::string no_;    // what the hook says instead
};

TEST_F(PvDevicesTest, PciDevicesAreListedAndTakenOut)
{
    const auto before = tool().dump("/");
    const PciBack driver(daemon_->socket());
    done(attaches("pcidevs", R"({"bus":3,"permissive":true})"));
    EXPECT_EQ(value(kList + "/num_devs") + value(kList + "/dev-0"), "10000:03:00.0");
    EXPECT_EQ(value(kOwner), "7");
    EXPECT_EQ(tool().permissions(kList), "n0,r7");
    done(attaches("pcidevs", R"({"bus":4})"));
    EXPECT_EQ(value(kList + "/num_devs") + value(kList + "/dev-1"), "20000:04:00.0");
    EXPECT_EQ(entries(), "pcidevs/0000:03:00.0 present,pcidevs/0000:04:00.0 present");
    EXPECT_EQ(fsck("-n"), 0);
    not_done(attaches("pcidevs", R"({"bus":4})"), Errc::exists, kList);

    done(detaches("pcidevs", "0000:03:00.0"));
    EXPECT_EQ(value(kList + "/num_devs") + value(kList + "/dev-0") + value(kList + "/dev-1"),
              "10000:04:00.0(none)");
    EXPECT_EQ(value(kOwner), "(none)");
    done(detaches("pcidevs", "0000:04:00.0"));
    EXPECT_EQ(entries(), "");
    EXPECT_EQ(value(kList), "(none)");
    EXPECT_EQ(value("/local/domain/7/device/pci/0"), "(none)");
    EXPECT_EQ(done_,
              "assign 0000:03:00.0; assign 0000:04:00.0; take back 0000:03:00.0; "
              "take back 0000:04:00.0; ");
}

TEST_F(PvDevicesTest, PciDeviceThatTheHypervisorRefusesIsNotAttached)
{
    no_ = "no IOMMU";
    const auto before = tool().dump("/local");
    not_done(attaches("pcidevs", R"({"bus":3})"), Errc::refused, "no IOMMU");
    EXPECT_EQ(entries(), "");
    EXPECT_EQ(tool().dump("/local"), before);
    EXPECT_EQ(value(kOwner), "(none)");
    tool().write(kOwner, "9");
    no_.clear();
    not_done(attaches("pcidevs", R"({"bus":3})"), Errc::refused, "9");
    EXPECT_EQ(entries(), "");
    not_done(attaches("pcidevs", R"({"bus":5})"), Errc::refused, "0000:05:00.0");
    store_->host().pci = {};
    not_done(attaches("pcidevs", R"({"bus":4})"), Errc::refused, "hypervisor's part");
    EXPECT_EQ(entries(), "");
}

// The back end of a guest that does not take part stays in state 7.
TEST_F(PvDevicesTest, PciDeviceStaysUntilTheGuestHasLetGo)
{
    done(attaches("pcidevs", R"({"bus":3})"));
    tool().write(kList + "/state", "4");
    not_done(detaches("pcidevs", "0000:03:00.0", seconds(1)), Errc::in_doubt,
             "waiting for the guest");
    EXPECT_EQ(entries(), "pcidevs/0000:03:00.0 removing");
    EXPECT_EQ(fsck("-y"), 2) << "it waits for the guest";
    EXPECT_EQ(entries(), "pcidevs/0000:03:00.0 removing");
    EXPECT_EQ(value(kList + "/state") + value(kList + "/state-0"), "75");
    EXPECT_EQ(value(kOwner), "7");
    const PciBack driver(daemon_->socket());
    done(detaches("pcidevs", "0000:03:00.0"));
    EXPECT_EQ(entries(), "");
}

// Its client died meanwhile. What the hypervisor has of it goes with the list, or not at all.
TEST_F(PvDevicesTest, PciDeviceThatTheGuestHasLetGoOfIsTakenOutByRecovery)
{
    done(attaches("pcidevs", R"({"bus":3})"));
    tool().write(kList + "/state", "4");
    not_done(detaches("pcidevs", "0000:03:00.0", seconds(1)), Errc::in_doubt, "waiting");
    tool().write(kList + "/state", "4");
    EXPECT_EQ(fsck("-y"), 4) << "xlfsck has no hypervisor's part";
    EXPECT_EQ(entries(), "pcidevs/0000:03:00.0 removing");
    done_.clear();
    recovery::Options options;
    options.mode = recovery::Mode::yes;
    const auto report = store_->loop().wait_for(recovery::recover(*store_, std::move(options)));
    EXPECT_TRUE(report);
    EXPECT_EQ(done_, "take back 0000:03:00.0; ");
    EXPECT_EQ(entries(), "pcidevs/0000:03:00.0 stale");
    EXPECT_EQ(value(kList) + value(kOwner), "(none)(none)");
    EXPECT_EQ(fsck("-n"), 0);
}

// A client died between the commit of its entry and xenstore, or behind that.
TEST_F(PvDevicesTest, RemovalThatXenstoreWasNotAskedForIsTakenBack)
{
    done(attaches("pcidevs", R"({"bus":3})"));
    tool().write(kList + "/state", "4");
    done(attaches("usbctrls", R"({"type":"qusb","ports":2})"));
    done(attaches("usbdevs", R"({"ctrl":0,"port":2,"type.hostdev":{"hostbus":1,"hostaddr":9}})"));
    done(attaches("channels", R"({"devid":1,"name":"org.example","connection.pty":{}})"));
    const auto there = entries();
    ASSERT_EQ(fsck("-n"), 0);
    store_->db().prepare("UPDATE thing SET state = 'removing'").run();
    EXPECT_EQ(fsck("-n"), 4);
    EXPECT_EQ(fsck("-p"), 1);
    EXPECT_EQ(entries(), there);
    EXPECT_EQ(fsck("-n"), 0);
    store_->db().prepare("UPDATE thing SET state = 'removing' WHERE class = 'usbdevs'").run();
    tool().write(kQusb + "/port/2", "");
    EXPECT_EQ(fsck("-p"), 1);
    EXPECT_TRUE(contains(entries(), "usbdevs/0.2 stale"));
    EXPECT_EQ(fsck("-n"), 0);
}

// num_devs is the toolstack's, but what it says is looked at all the same.
TEST_F(PvDevicesTest, PciListThatCannotBeIsLeftAlone)
{
    done(attaches("pcidevs", R"({"bus":3})"));
    for (const auto* count : {"-1", "99999", "x"}) {
        tool().write(kList + "/num_devs", count);
        not_done(attaches("pcidevs", R"({"bus":4})"), Errc::protocol, "num_devs");
    }
    EXPECT_EQ(entries(), "pcidevs/0000:03:00.0 present");
}

TEST_F(PvDevicesTest, UsbDevicesArePluggedIntoPorts)
{
    done(attaches("usbctrls", R"({"type":"qusb","ports":2})"));
    const auto before = tool().dump("/");
    const std::string device = R"({"ctrl":0,"port":2,"type.hostdev":{"hostbus":1,"hostaddr":9}})";
    done(attaches("usbdevs", device));
    EXPECT_EQ(value(kQusb + "/port/2"), "1-4");
    EXPECT_EQ(entries(), "usbctrls/0 present,usbdevs/0.2 present");
    EXPECT_EQ(fsck("-n"), 0);
    not_done(attaches("usbdevs", device), Errc::exists, "1-4");
    not_done(
        attaches("usbdevs", R"({"ctrl":0,"port":3,"type.hostdev":{"hostbus":1,"hostaddr":9}})"),
        Errc::not_found, "/port/3");
    not_done(
        attaches("usbdevs", R"({"ctrl":0,"port":1,"type.hostdev":{"hostbus":1,"hostaddr":8}})"),
        Errc::refused, "address 8");
    done(detaches("usbdevs", "0.2"));
    EXPECT_EQ(entries(), "usbctrls/0 present");
    EXPECT_EQ(tool().dump("/"), before);
    // By the host's port, as in HVM.
    done(attaches("usbdevs", R"({"ctrl":0,"port":1,"type.hostdev":{"busid":"1-4"}})"));
    EXPECT_EQ(value(kQusb + "/port/1"), "1-4");
}

// While a detach waits for its lock, another process has removed the device.
TEST_F(PvDevicesTest, UsbDeviceThatAnotherProcessHasUnpluggedIsNotThere)
{
    done(attaches("usbctrls", R"({"type":"qusb","ports":2})"));
    done(attaches("usbdevs", R"({"ctrl":0,"port":2,"type.hostdev":{"hostbus":1,"hostaddr":9}})"));
    const auto until = Clock::now() + seconds(60);
    std::optional<FastLock> fast(
        *store_->loop().wait_for(store_->fast_lock(store_->loop(), domain().id, "test", until)));
    auto second = detach(*store_, domain(), ThingName{"usbdevs", "0.2"}, until);
    second.start();
    tool().write(kQusb + "/port/2", "");
    forget("usbdevs");
    fast.reset();
    not_done(end_of(second), Errc::not_found, "no such entry");
    EXPECT_EQ(entries(), "usbctrls/0 present");
}

// ... and attached it anew: what is there now is what was asked to go.
TEST_F(PvDevicesTest, PciDeviceThatWasAttachedAnewMeanwhileIsTakenOut)
{
    const PciBack driver(daemon_->socket());
    const std::string device = R"({"bus":3})";
    done(attaches("pcidevs", device));
    const auto until = Clock::now() + seconds(60);
    std::optional<SlowHold> slow(
        *store_->loop().wait_for(store_->slow_lock(domain().id, "pv", "test", until)));
    const ThingName name{"pcidevs", "0000:03:00.0"};
    const auto before = read_thing(store_->db(), domain().id, name)->id;
    auto second = detach(*store_, domain(), name, until);
    second.start();
    forget("pcidevs");
    store_->db().execute(
        "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
        "SELECT id, 'pcidevs', '0000:03:00.0', 0, 'xenstore', 'present', '{\"bus\":3}', 1 FROM "
        "domain");
    ASSERT_NE(read_thing(store_->db(), domain().id, name)->id, before);
    done_.clear();
    slow.reset();
    done(end_of(second));
    EXPECT_EQ(entries(), "");
    EXPECT_EQ(done_, "take back 0000:03:00.0; ");
    EXPECT_EQ(value(kList), "(none)");
}

TEST_F(PvDevicesTest, MediumOfADriveIsChanged)
{
    const std::string image = scratch_.directory() / "b.iso";
    write_file(image, "medium");
    done(attaches("disks", R"({"pdev_path":"/a.iso","vdev":"xvdd","format":"raw","is_cdrom":1,)"
                           R"("backend":"qdisk"})"));
    EXPECT_EQ(value(kDrive + "/params"), "aio:/a.iso");
    const auto change = [&](const std::string& file) {
        const auto until = Clock::now() + seconds(20);
        return store_->loop().wait_for(file.empty()
                                           ? eject_medium(*store_, domain(), "xvdd", until)
                                           : insert_medium(*store_, domain(), "xvdd", file, until));
    };
    done(change(image));
    EXPECT_EQ(value(kDrive + "/params"), "aio:" + image);
    EXPECT_EQ(value("/libxl/7/device/vbd/51760/params"), "aio:" + image);
    EXPECT_EQ(json_at(xlstore(scratch_.path(), {"export", "7"}).out, "$.disks[0].pdev_path"),
              image);
    EXPECT_EQ(fsck("-n"), 0);
    done(change(""));
    EXPECT_EQ(value(kDrive + "/params"), "");
    EXPECT_EQ(fsck("-n"), 0);
    not_done(change(scratch_.directory() / "none"), Errc::invalid, "none");
    // What xenstore says is what counts: a dead client wrote its entry alone.
    const auto crashed = xlstore(scratch_.path(), {"insert", "7", "xvdd", image},
                                 crash_at("xenstore.before_commit"));
    EXPECT_TRUE(ended(crashed, kKilled));
    EXPECT_EQ(fsck("-p"), 1);
    EXPECT_EQ(json_at(xlstore(scratch_.path(), {"export", "7"}).out, "$.disks[0].format"), "empty");
    EXPECT_EQ(fsck("-n"), 0);
    done(change(image));
    EXPECT_TRUE(ended(
        xlstore(scratch_.path(), {"eject", "7", "xvdd"}, crash_at("xenstore.before_commit")),
        kKilled));
    EXPECT_EQ(fsck("-p"), 1) << "an entry without a medium does not stand for one";
    EXPECT_EQ(json_at(xlstore(scratch_.path(), {"export", "7"}).out, "$.disks[0].pdev_path"), image);
    EXPECT_EQ(fsck("-n"), 0);
}

}  // namespace
}  // namespace xlstore::test
