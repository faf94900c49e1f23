// SPDX-License-Identifier: MIT
// PCI devices that are passed through. QEMU has no xen-pci-passthrough without Xen, so that a
// scripted peer says what a real one said to libxl (Xen 4.17, QEMU 7.2; device 0000:00:10.0 at
// 6.0). The operation runs in this process, which has the hypervisor's part.
#include <filesystem>

#include "store/core/domain.hpp"
#include "recovery/runs/recover.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/journal.hpp"
#include "store/operation/operation.hpp"
#include "tests/integration/hostile_stage.hpp"
#include "tests/support/scratch_xenstored.hpp"

namespace xlstore::test::hostile {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kThing = R"({"dev":16,"vfunc_mask":1})";
// As the real one kept it.
constexpr const char* kEntry = R"({"dev":16,"vdevfn":48,"vfunc_mask":1,"rdm_policy":"strict"})";
constexpr const char* kKey = "0000:00:10.0";
constexpr const char* kDevices =
    R"([{"name":"type","type":"string"},)"
    R"({"name":"pci-pt-00_10.0","type":"child<xen-pci-passthrough>"}])";
constexpr const char* kProperties =
    R"([{"name":"parent_bus","type":"link<bus>"},{"name":"addr","type":"int32"},)"
    R"({"name":"permissive","type":"bool"},{"name":"hostaddr","type":"str"}])";

Answer about(Answer answer, const std::string& what)
{
    answer.about = what;
    return answer;
}

// A QEMU that has the device, which is the host's `host`; "": it has none.
std::vector<Answer> answers(const Peer& peer, const std::string& host)
{
    auto all = peer.answers(kBorn);
    std::erase_if(all, [](const Answer& a) { return a.about == R"(/machine/peripheral")"; });
    all.push_back(about(returns("qom-list", host.empty() ? "[]" : kDevices),
                        R"(/machine/peripheral")"));
    all.push_back(about(returns("qom-list", kProperties),
                        R"(/machine/peripheral/pci-pt-00_10.0")"));
    all.push_back(about(returns("qom-get", "\"" + host + "\""), R"("hostaddr")"));
    all.push_back(about(returns("qom-get", "48"), R"("addr")"));
    all.push_back(about(returns("qom-get", "false"), R"("permissive")"));
    all.push_back(about(returns("qom-get", R"("/machine/i440fx/pci.0")"), R"("parent_bus")"));
    all.push_back(returns("query-hotpluggable-cpus", "[]"));
    return all;
}

/// One connection of such a QEMU.
Script has(const Peer& peer, const std::string& host)
{
    return script({handshake(), {step::serve(answers(peer, host))}});
}
/// One that has `before` until it hears `command`, and `after` from then on.
Script turns(const Peer& peer, const std::string& before, const std::string& command,
             const std::string& after)
{
    return script({handshake(),
                   {step::serve(answers(peer, before), command), step::reply("{}"),
                    step::serve(answers(peer, after))}});
}

class PciTest : public testing::Test {
protected:
    /// The domain with that QEMU, and a store of this process whose hook writes down what it does.
    void begin(const Stage::Part& then)
    {
        stage_ = std::make_unique<Stage>(then);
        sysfs_ = stage_->store().directory() / "sys";
        std::filesystem::create_directories(sysfs_ + "/bus/pci/drivers/pciback/" + kKey);
        store_ = stage_->store().open();
        store_->host().sysfs = sysfs_;
        store_->host().pci = [this](const PciTask& task) -> Result<void> {
            done_.push_back(std::string(task.assign ? "assign " : "take back ") + task.address);
            if (task.assign && !no_.empty()) return Error(Errc::refused, no_);
            return {};
        };
    }
    [[nodiscard]] DomainRow domain() const { return *find_domain(store_->db(), "7"); }
    Outcome attaches(const char* json = kThing)
    {
        return store_->loop().wait_for(
            attach(*store_, domain(), "pcidevs", json, Clock::now() + seconds(20)));
    }
    Outcome detaches(milliseconds limit = seconds(20))
    {
        return store_->loop().wait_for(
            detach(*store_, domain(), ThingName{"pcidevs", kKey}, Clock::now() + limit));
    }
    [[nodiscard]] std::string entry() const
    {
        return stage_->cell("SELECT key || ' ' || state || ' ' || json FROM thing WHERE class = "
                            "'pcidevs'");
    }
    /// What was sent that changes QEMU, and query-pci.
    [[nodiscard]] std::string sent() const
    {
        std::string text;
        for (const auto& command : stage_->qemu().commands())
            if (command.starts_with("device_") || command == "query-pci") text += command + " ";
        return text;
    }
    recovery::Report recovered(std::string& said)
    {
        recovery::Options options;
        options.found = [&](const recovery::Finding& finding) {
            said += finding.subject + ": " + finding.evidence + "\n";
        };
        auto report = store_->loop().wait_for(recovery::recover(*store_, options));
        return report ? *report : recovery::Report{};
    }
    /// An intent to add the device is open, and its process is gone.
    void leave_an_intent_open()
    {
        auto hold = store_->try_slow_lock(domain().id, "test");
        ASSERT_TRUE(hold && *hold);
        auto draft = draft_hot_plug("pcidevs", kThing);
        ASSERT_TRUE(draft);
        std::vector<Draft> drafts(1, *draft);
        Journal journal(*store_);
        auto intents = store_->loop().wait_for(
            journal.open(**hold, drafts, stage_->monitor(), Clock::now() + seconds(20)));
        ASSERT_TRUE(intents) << intents.error().message;
    }

    std::unique_ptr<Stage> stage_;
    std::string sysfs_;
    std::unique_ptr<Store> store_;
    std::vector<std::string> done_;  // by the hook
    std::string no_;                 // what the hook says instead
};

TEST_F(PciTest, AttachAndDetachAreLibxls)
{
    begin([](const Peer& peer) {
        return script({turns(peer, "", "device_add", kKey), turns(peer, kKey, "device_del", ""),
                       has(peer, "")});
    });
    const auto attached = attaches();
    ASSERT_TRUE(attached) << attached.error().message;
    EXPECT_EQ(sent(), "device_add query-pci ");
    EXPECT_EQ(entry(), std::string(kKey) + " present " + kEntry);
    EXPECT_EQ(done_, std::vector<std::string>{"assign 0000:00:10.0"});

    const auto detached = detaches();
    ASSERT_TRUE(detached) << detached.error().message;
    EXPECT_EQ(sent(), "device_add query-pci device_del query-pci ");
    EXPECT_EQ(entry(), "");
    EXPECT_EQ(done_.back(), "take back 0000:00:10.0");
    EXPECT_TRUE(ended(stage_->fsck({"-n"}), 0));
}

TEST_F(PciTest, WithoutTheHypervisorsPartNothingIsDone)
{
    begin([](const Peer& peer) {
        return script({has(peer, ""), has(peer, ""), has(peer, ""), has(peer, "")});
    });
    const auto rows = dump(stage_->store().path());
    const Ran ran = stage_->xl({"--json", "attach", "7", "pcidevs", kThing});
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "refused");
    EXPECT_TRUE(contains(ran.out, "hypervisor"));
    // One that the host's own driver has.
    std::filesystem::remove_all(sysfs_ + "/bus/pci/drivers/pciback/" + kKey);
    std::filesystem::create_directories(sysfs_ + "/bus/pci/devices/" + kKey);
    const auto refused = attaches();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::refused);
    EXPECT_TRUE(contains(refused.error().message, "pciback"));
    EXPECT_TRUE(contains(attaches(R"({"name":"gpu"})").error().message, "xenstore"));
    EXPECT_EQ(sent(), "");
    EXPECT_TRUE(done_.empty());
    EXPECT_EQ(dump(stage_->store().path()), rows);
}

// R16: libxl's id has no segment.
TEST_F(PciTest, DeviceOfAnotherSegmentIsRefusedNamingTheOne)
{
    begin([](const Peer& peer) {
        return script({turns(peer, "", "device_add", kKey), has(peer, kKey), has(peer, kKey)});
    });
    ASSERT_TRUE(attaches());
    std::filesystem::create_directories(sysfs_ + "/bus/pci/drivers/pciback/0001:00:10.0");
    const auto refused = attaches(R"({"domain":1,"dev":16})");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::exists);
    EXPECT_TRUE(contains(refused.error().message, "belongs to pcidevs/0000:00:10.0"));
    EXPECT_EQ(entry(), std::string(kKey) + " present " + kEntry);
    EXPECT_TRUE(ended(stage_->fsck({"-n"}), 0));
}

// libxl's node of ownership, on the real xenstored.
class PciOwnerTest : public PciTest {
protected:
    void SetUp() override
    {
        XLSTORE_NEEDS_XENSTORED();
        daemon_ = std::make_unique<ScratchXenstored>(directory_ / "xenstored");
        setenv("XENSTORED_PATH", daemon_->socket().c_str(), 1);
    }
    void TearDown() override { unsetenv("XENSTORED_PATH"); }
    std::string owner() { return daemon_->tool().read(kOwner).value_or("none"); }
    std::string listed(const std::string& node)
    {
        return daemon_->tool().read("/local/domain/0/backend/pci/7/0/" + node).value_or("none");
    }

    static constexpr const char* kOwner = "/libxl/pci/0000-00-10-0/domid";
    ScratchDirectory directory_;
    std::unique_ptr<ScratchXenstored> daemon_;
};

TEST_F(PciOwnerTest, TheNodeComesFirstAndGoesLast)
{
    begin([](const Peer& peer) {
        return script({turns(peer, "", "device_add", kKey), turns(peer, kKey, "device_del", "")});
    });
    const auto hook = store_->host().pci;
    std::string seen;
    store_->host().pci = [&](const PciTask& task) {
        seen += owner() + " ";
        return hook(task);
    };
    ASSERT_TRUE(attaches());
    EXPECT_EQ(owner(), "7");
    // libxl's list of what the domain has follows QEMU.
    EXPECT_EQ(listed("num_devs") + " " + listed("dev-0") + " " + listed("vdevfn-0"),
              std::string("1 ") + kKey + " 30");
    const auto detached = detaches();
    ASSERT_TRUE(detached) << detached.error().message;
    EXPECT_EQ(owner(), "none");
    EXPECT_EQ(listed("num_devs"), "none");
    EXPECT_EQ(seen, "7 7 ") << "it is the domain's while the hypervisor has it assigned";
}

TEST_F(PciOwnerTest, ANameIsLookedUpInXenstore)
{
    begin([](const Peer& peer) { return script({turns(peer, "", "device_add", kKey)}); });
    daemon_->tool().write("/libxl/pci/0000-00-10-0/name", "gpu");
    daemon_->tool().write("/libxl/pci/0000-00-11-0/name", "nic");
    const auto attached = attaches(R"({"vfunc_mask":1,"name":"gpu"})");
    ASSERT_TRUE(attached) << attached.error().message;
    EXPECT_EQ(entry(), std::string(kKey) + " present " +
                           R"({"dev":16,"vdevfn":48,"vfunc_mask":1,"rdm_policy":"strict","name":"gpu"})");
    daemon_->tool().write("/libxl/pci/0000-00-12-0/name", "nic");
    EXPECT_TRUE(contains(attaches(R"({"name":"nic"})").error().message, "both 0000:00:11.0 and"));
}

TEST_F(PciOwnerTest, ADeviceOfAnotherDomainIsRefused)
{
    begin([](const Peer& peer) { return script({has(peer, ""), has(peer, "")}); });
    daemon_->tool().write(kOwner, "9");
    const auto refused = attaches();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::refused);
    EXPECT_TRUE(contains(refused.error().message, R"(domain "9" has the device)"));
    EXPECT_EQ(owner(), "9");
    EXPECT_EQ(sent() + entry(), "");
}

// Killed behind the node, before QEMU was asked: nothing else would ever free the device.
TEST_F(PciOwnerTest, RecoveryFreesWhatQemuNeverGot)
{
    begin([](const Peer& peer) { return script({has(peer, "")}); });
    leave_an_intent_open();
    daemon_->tool().write(kOwner, "7");
    std::string said;
    EXPECT_EQ(recovered(said).exit_bits, 1U) << said;
    EXPECT_EQ(owner(), "none");
    EXPECT_EQ(entry(), "");
}

// Who has not the hypervisor's part leaves libxl what it finds the device by.
TEST_F(PciOwnerTest, WithoutTheHypervisorsPartWhatTheGuestLetGoOfStaysListed)
{
    begin([](const Peer& peer) {
        return script({turns(peer, "", "device_add", kKey), turns(peer, kKey, "device_del", kKey),
                       has(peer, ""), has(peer, ""), has(peer, "")});
    });
    ASSERT_TRUE(attaches());
    EXPECT_FALSE(detaches(milliseconds(700)));
    const auto hook = store_->host().pci;
    store_->host().pci = nullptr;
    std::string said;
    (void)recovered(said);
    EXPECT_TRUE(contains(said, "'xl pci-detach -f' ends")) << said;
    EXPECT_EQ(entry(), "");
    EXPECT_EQ(listed("dev-0") + " " + owner(), std::string(kKey) + " 7");
    EXPECT_EQ(done_, std::vector<std::string>{"assign 0000:00:10.0"});
    daemon_->tool().introduce(7);
    // It is told from then on; and done where the hypervisor's part is had.
    said.clear();
    EXPECT_EQ(recovered(said).exit_bits & 4U, 4U) << said;
    store_->host().pci = hook;
    EXPECT_EQ(recovered(said).exit_bits, 1U) << said;
    EXPECT_EQ(listed("num_devs") + " " + owner(), "none none");
    EXPECT_EQ(done_.back(), "take back 0000:00:10.0");
}

TEST_F(PciTest, WhatTheHypervisorRefusesIsUndone)
{
    begin([](const Peer& peer) {
        auto two = turns(peer, "", "device_add", kKey);
        two.back() = step::serve(answers(peer, kKey), "device_del");
        return script({two, {step::reply("{}"), step::serve(answers(peer, ""))}});
    });
    no_ = "no IOMMU";
    const auto refused = attaches();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::refused) << refused.error().message;
    EXPECT_TRUE(contains(refused.error().message, "no IOMMU"));
    EXPECT_EQ(sent(), "device_add query-pci device_del ");
    EXPECT_EQ(entry(), "");
}

// R1: what QEMU has and no entry, as `xl pci-attach` leaves it when it is killed.
// Not unattended: what a peer that is no QEMU was started with is not known.
TEST_F(PciTest, IsAdoptedAsAttachWouldHaveWrittenIt)
{
    begin([](const Peer& peer) {
        return script({has(peer, kKey), has(peer, kKey), has(peer, "0001:00:10.0"),
                       has(peer, "0001:00:10.0")});
    });
    EXPECT_TRUE(ended(stage_->fsck({"-y"}), 1));
    EXPECT_EQ(entry(), std::string(kKey) + " present " + kEntry);
    EXPECT_TRUE(ended(stage_->fsck({"-n"}), 0));
    // Another segment's under the same id: that one is adopted, and this one is not there.
    const Ran other = stage_->fsck({"-y"});
    EXPECT_TRUE(ended(other, 1));
    EXPECT_TRUE(contains(other.out, R"(it is that of "0001:00:10.0")"));
    EXPECT_EQ(stage_->cell("SELECT group_concat(key || ' ' || state, ', ') FROM (SELECT * FROM "
                           "thing WHERE class = 'pcidevs' ORDER BY key)"),
              "0000:00:10.0 stale, 0001:00:10.0 present");
    EXPECT_TRUE(ended(stage_->fsck({"-n"}), 0));
}

// The process died between device_add and its settle.
TEST_F(PciTest, RecoverySettlesAndSaysWhatItCannotKnow)
{
    begin([](const Peer& peer) { return script({has(peer, kKey), has(peer, kKey)}); });
    leave_an_intent_open();
    std::string said;
    EXPECT_EQ(recovered(said).exit_bits, 1U) << said;
    EXPECT_TRUE(contains(said, "whether the hypervisor has assigned it is not known"));
    EXPECT_EQ(entry(), std::string(kKey) + " present " + kEntry);
    EXPECT_TRUE(done_.empty());
}

TEST_F(PciTest, TheGuestIsWaitedForAndTheHypervisorComesAfterIt)
{
    begin([](const Peer& peer) {
        return script({turns(peer, "", "device_add", kKey), turns(peer, kKey, "device_del", kKey),
                       has(peer, "")});
    });
    ASSERT_TRUE(attaches());
    const auto asked = detaches(milliseconds(700));
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().code, Errc::in_doubt);
    EXPECT_TRUE(contains(asked.error().message, "asked, waiting for the guest"));
    EXPECT_EQ(done_, std::vector<std::string>{"assign 0000:00:10.0"});
    std::string said;
    EXPECT_EQ(recovered(said).exit_bits, 1U) << said;  // by now it has let go
    EXPECT_EQ(done_.back(), "take back 0000:00:10.0");
    EXPECT_EQ(entry(), "");
}

}  // namespace
}  // namespace xlstore::test::hostile
