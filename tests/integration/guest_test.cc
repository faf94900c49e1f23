// SPDX-License-Identifier: MIT
// Unplugging with a guest that takes part: a small real Linux under TCG (tests/guest). What it
// still has is told by QEMU on the test's own monitor, and by the guest itself on its console.
#include "tests/support/guest.hpp"

#include <memory>

namespace xlstore::test {
namespace {

using std::chrono::seconds;

std::string rng(const std::string& id)
{
    return R"({"key":")" + id +
           R"(","steps":[{"execute":"device_add","arguments":{"driver":"virtio-rng-pci","id":")" +
           id + R"("}}]})";
}

struct World {
    ScratchStore store;
    Guest guest{store};
};

class GuestTest : public testing::Test {
protected:
    void SetUp() override
    {
        if (!Guest::can_be_made())
            GTEST_SKIP() << "there is no guest to boot: sh tests/guest/make.sh build/guest";
        enter();
    }
    /// Into a world of its own, with a guest that has not been booted.
    virtual void enter() { world_ = std::make_shared<World>(); }

    [[nodiscard]] const std::string& store() const { return world_->store.path(); }
    [[nodiscard]] const Guest& guest() const { return world_->guest; }
    Ran xl(const Words& words) { return xlstore(store(), words); }
    Ran fsck(const Words& words) { return xlfsck(store(), words); }
    std::string cell(const std::string& query) { return sql(store(), query); }
    std::string entry(const std::string& key)
    {
        return cell("SELECT state FROM thing WHERE key = '" + key + "'");
    }
    std::string avail_vcpus() { return json_at(xl({"export", "7"}).out, "$.b_info.avail_vcpus"); }
    bool qemu_has(const std::string& device)
    {
        return (" " + guest().devices() + " ").find(" " + device + " ") != std::string::npos;
    }
    /// Detaches what the guest does not let go of now; the number of the intent that stays open.
    std::string ask_for(const std::string& key)
    {
        const Ran asked = xl({"--json", "--timeout", "3", "detach", "7", "qemu", key});
        EXPECT_TRUE(ended(asked, 3));
        EXPECT_EQ(json_at(asked.out, "$.error.code"), "in_doubt");
        EXPECT_TRUE(
            contains(json_at(asked.out, "$.error.message"), "asked, waiting for the guest"));
        EXPECT_TRUE(qemu_has(key));
        EXPECT_EQ(entry(key), "removing");
        EXPECT_TRUE(ended(fsck({"-n"}), 2));  // the guest has to act
        return json_at(asked.out, "$.error.intent");
    }
    /// The intent was closed as one that is done, and nothing is left of the thing.
    void expect_gone(const std::string& key, const std::string& intent)
    {
        EXPECT_FALSE(qemu_has(key));
        EXPECT_EQ(entry(key), "");
        EXPECT_EQ(cell("SELECT outcome FROM history WHERE intent = " + intent), "done");
        expect_all_settled();
    }
    void expect_all_settled()
    {
        EXPECT_TRUE(ended(fsck({"-n"}), 0));
        EXPECT_TRUE(store_and_qemu_agree(store(), guest().judge()));
    }

    std::shared_ptr<World> world_;
};

// Linux forgets what it was asked before it had set up ACPI, and hears of it with the next event.
TEST_F(GuestTest, AskedBeforeItsBootLetsGoLater)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", rng("early")}), 0));
    const auto number = ask_for("early");

    guest().boot();
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", rng("later")}), 0));

    EXPECT_TRUE(ended(xl({"--timeout", "60", "wait", number}), 0));
    expect_gone("early", number);
}

// Once only in the life of a QEMU: version 7.2 under TCG dies when a vcpu is added after another
// was taken out.
TEST_F(GuestTest, GivesBackAVcpu)
{
    guest().boot();
    ASSERT_TRUE(guest().sees("cpus=0"));
    ASSERT_EQ(avail_vcpus(), "[0]");

    ASSERT_TRUE(ended(xl({"attach", "7", "vcpus", R"({"index":1})"}), 0));
    EXPECT_EQ(avail_vcpus(), "[0,1]");
    EXPECT_TRUE(qemu_has("cpu-1"));
    EXPECT_TRUE(guest().sees("cpus=0-1"));
    expect_all_settled();

    EXPECT_TRUE(ended(xl({"detach", "7", "vcpus", "1"}), 0));
    EXPECT_EQ(avail_vcpus(), "[0]");
    EXPECT_FALSE(qemu_has("cpu-1"));
    EXPECT_TRUE(guest().sees("cpus=0"));
    expect_all_settled();
}

// Memory that its kernel uses for what cannot be moved: the guest says no (ACPI's _OST), and QEMU
// passes that on as ACPI_DEVICE_OST; on x86 it has no DEVICE_UNPLUG_GUEST_ERROR for it.
TEST_F(GuestTest, RefusesToGiveBackMemoryInUse)
{
    guest().boot();
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", R"({"key":"dimm","steps":[
        {"execute":"object-add",
         "arguments":{"qom-type":"memory-backend-ram","id":"mem","size":134217728}},
        {"execute":"device_add","arguments":{"driver":"pc-dimm","id":"dimm","memdev":"mem"}}]})"}),
                      0));
    ASSERT_TRUE(guest().sees("filled=1"));

    const Ran refused = xl({"--json", "detach", "7", "qemu", "dimm"});

    // What QEMU was told: an ejection was asked for (3), and the device is busy (0x82).
    const auto told = qmp(guest().judge(), "query-acpi-ospm-status");
    EXPECT_EQ(json_at(told, "$.return[0].device"), "dimm");
    EXPECT_EQ(json_at(told, "$.return[0].source"), "3");
    EXPECT_EQ(json_at(told, "$.return[0].status"), "130");
    EXPECT_TRUE(ended(refused, 1));
    EXPECT_EQ(json_at(refused.out, "$.error.code"), "refused");
    EXPECT_TRUE(contains(json_at(refused.out, "$.error.message"), "the guest refused"));
    EXPECT_EQ(entry("dimm"), "present");
    EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
    EXPECT_TRUE(qemu_has("dimm"));
    EXPECT_TRUE(contains(qmp(guest().judge(), "query-memdev"), "\"mem\""));
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

/// A guest that is up, shared by the tests as long as none of them fails.
class BootedGuestTest : public GuestTest {
protected:
    void enter() override
    {
        if (!shared_) {
            shared_ = std::make_shared<World>();
            shared_->guest.boot();
        }
        world_ = shared_;
    }
    void TearDown() override
    {
        if (HasFailure()) shared_.reset();
    }
    static void TearDownTestSuite() { shared_.reset(); }

    /// A device that the paused guest was asked for; the number of the open intent.
    std::string ask_while_paused()
    {
        EXPECT_TRUE(ended(xl({"attach", "7", "qemu", rng("rng")}), 0));
        guest().pause();
        return ask_for("rng");
    }
    bool lets_go()
    {
        guest().go_on();
        return wait_until(seconds(60), [&] { return !qemu_has("rng"); });
    }

private:
    static inline std::shared_ptr<World> shared_;
};

TEST_F(BootedGuestTest, GivesBackPciDevicesInOneGo)
{
    struct Case {
        const char* device_class;
        std::string json;
        const char* key;
        const char* device;
    };
    const int initial = guest().pci_devices_at_boot();
    for (const Case& one :
         {Case{"qemu", rng("rng"), "rng", "rng"},
          Case{"usbctrls", R"({"type":"devicemodel","devid":1,"version":2,"ports":6})", "1",
               "xenusb-1"}}) {
        SCOPED_TRACE(one.device_class);
        ASSERT_TRUE(ended(xl({"attach", "7", one.device_class, one.json}), 0));
        EXPECT_TRUE(qemu_has(one.device));
        EXPECT_TRUE(guest().sees("pci=" + std::to_string(initial + 1)));

        const Ran detached = xl({"--json", "detach", "7", one.device_class, one.key});

        ASSERT_TRUE(ended(detached, 0));
        EXPECT_FALSE(qemu_has(one.device));
        EXPECT_TRUE(guest().sees("pci=" + std::to_string(initial)));
        expect_gone(one.key, json_at(detached.out, "$.intent"));
    }
}

// A paused guest is asked, and let run again. That it has let go is noticed by the client that waits …
TEST_F(BootedGuestTest, WaitNoticesThatItLetGo)
{
    const auto number = ask_while_paused();
    Child waiter({binary("xlstore"), "--store", store(), "--timeout", "60", "wait", number});
    ASSERT_TRUE(wait_until(seconds(60), [&] {
        return cell("SELECT 1 FROM session WHERE pid = " + std::to_string(waiter.pid())) == "1";
    }));
    EXPECT_TRUE(ended(xl({"--timeout", "0", "wait", number}), 3));

    guest().go_on();

    EXPECT_EQ(waiter.wait(), 0);
    expect_gone("rng", number);
}

// … the next operation on the thing …
TEST_F(BootedGuestTest, NextOperationNoticesThatItLetGo)
{
    const auto number = ask_while_paused();
    // R18: the removal's number is not the attach's own doubt; nothing of the attach was begun.
    const auto refused = xl({"--timeout", "3", "attach", "7", "qemu", rng("rng")});
    EXPECT_TRUE(ended(refused, 1));
    EXPECT_TRUE(contains(refused.err, "intent " + number));
    ASSERT_TRUE(lets_go());

    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", rng("rng")}), 0));

    EXPECT_TRUE(qemu_has("rng"));
    EXPECT_EQ(cell("SELECT outcome FROM history WHERE intent = " + number), "done");
    expect_all_settled();
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "rng"}), 0));
}

// … and recovery.
TEST_F(BootedGuestTest, FsckNoticesThatItLetGo)
{
    const auto number = ask_while_paused();
    EXPECT_TRUE(contains(fsck({"-p"}).out, "still has it"));
    EXPECT_EQ(entry("rng"), "removing");
    ASSERT_TRUE(lets_go());

    EXPECT_TRUE(ended(fsck({"-p"}), 1));

    expect_gone("rng", number);
}

}  // namespace
}  // namespace xlstore::test
