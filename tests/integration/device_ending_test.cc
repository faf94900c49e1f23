// SPDX-License-Identifier: MIT
// A domain is destroyed, and xenstore has devices of it: the real xenstored and the real commands.
// The test is the driver of the back ends.
#include <stdlib.h>
#include <sys/stat.h>

#include <memory>

#include "tests/support/back_end_driver.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/scratch_xenstored.hpp"

namespace xlstore::test {
namespace {

constexpr const char* kEndedUuid = "0badcafe-2222-4333-8444-555566667777";
const std::string kEndedVif = "/local/domain/0/backend/vif/7/0";
constexpr int kEnded = 1 + 2;  // of recovery: it ended the domain, which Xen has still
constexpr const char* kDisk = R"({"pdev_path":"/a","vdev":"xvda","format":"qcow2","readwrite":1})";

class DeviceEndingTest : public testing::Test {
protected:
    void SetUp() override
    {
        XLSTORE_NEEDS_XENSTORED();
        daemon_ = std::make_unique<ScratchXenstored>(store_.directory() / "xs");
        setenv("XENSTORED_PATH", daemon_->socket().c_str(), 1);
        daemon_->tool().load(
            "/libxl/7 = \"\" (n0)\n/libxl/7/device = \"\"\n/local/domain/7 = \"\" (n0,r7)\n"
            "/local/domain/7/device = \"\" (n0,r7)\n/local/domain/7/vm = \"/vm/" +
            std::string(kEndedUuid) + "\"\n/local/domain/0/backend = \"\" (n0,r7)\n");
        daemon_->tool().introduce(7);
        const std::string document = store_.directory() / "pv.json";
        write_file(document, R"({"c_info":{"type":"pv","name":"pv","uuid":")" +
                                 std::string(kEndedUuid) + R"("},"b_info":{"type.pv":{}}})");
        ASSERT_TRUE(ended(xl({"import", "7", document}), 0));
        before_ = tree();
    }
    void TearDown() override { unsetenv("XENSTORED_PATH"); }

    Ran xl(const Words& words) { return xlstore(store_.path(), words); }
    Ran served(const Words& words, const Environment& environment = {})
    {
        return run_with_drivers(store_, daemon_->tool(), {kEndedVif}, words, environment);
    }
    std::string tree() { return daemon_->tool().dump("/"); }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    std::string state() { return cell("SELECT state FROM domain"); }
    std::string history()
    {
        return cell("SELECT evidence FROM history WHERE outcome = 'done' ORDER BY id DESC LIMIT 1");
    }
    /// A nic with a script that notes when it is run.
    void attach_nic(const std::string& more = "")
    {
        const std::string path = store_.directory() / "hotplug";
        write_file(path, "#!/bin/sh\necho $1 >>" + std::string(store_.directory() / "log") +
                             "\n[ $1 = offline ] || " + binary("scratch_xenstored") + " " +
                             std::string(store_.directory() / "xs") + " write " + kEndedVif +
                             "/hotplug-status connected\n");
        chmod(path.c_str(), 0755);
        const Ran ran = served({"attach", "7", "nics",
                                R"({"devid":0,"mac":"00:16:3e:aa:bb:01","script":")" + path +
                                    "\"" + more + "}"});
        ASSERT_TRUE(ended(ran, 0)) << ran.out;
    }

    ScratchStore store_;
    std::unique_ptr<ScratchXenstored> daemon_;
    std::string before_;
};

TEST_F(DeviceEndingTest, DevicesGoAndTheirScriptsTidyUp)
{
    attach_nic();
    ASSERT_TRUE(ended(xl({"attach", "7", "disks", kDisk}), 0));
    ASSERT_TRUE(ended(xl({"attach", "7", "vkbs", "{}"}), 0));
    ASSERT_TRUE(ended(xl({"attach", "7", "channels",
                          R"({"devid":1,"name":"org.example","connection.pty":{}})"}),
                      0));
    const Ran ran = served({"destroy", "7"});
    EXPECT_TRUE(ended(ran, 0)) << ran.out;
    EXPECT_EQ(state(), "destroyed");
    EXPECT_EQ(tree(), before_);
    EXPECT_EQ(read_file(store_.directory() / "log"), "online\noffline\n");
}

// A creator is killed before it lets QEMU run; its domain has a device in xenstore by then.
TEST_F(DeviceEndingTest, DevicesOfACreationThatWasGivenUpGo)
{
    ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));
    const std::string document = store_.directory() / "hvm.json";
    write_file(document, R"({"c_info":{"type":"hvm","name":"hvm","uuid":")" +
                             std::string(kEndedUuid) + R"("},"b_info":{"type.hvm":{}}})");
    ASSERT_TRUE(ended(xlstore(store_.path(), {"create", "7", document, "--", "qemu-system-x86_64"},
                              crash_at("spawn.before_fork")),
                      kKilled));
    ASSERT_TRUE(ended(xl({"attach", "7", "vkbs", "{}"}), 0));
    ASSERT_NE(tree(), before_);
    EXPECT_TRUE(ended(run({binary("xlfsck"), "--store", store_.path(), "-p"}), kEnded));
    EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state = 'creating'"), "0");
    EXPECT_EQ(tree(), before_);
}

// No guest, and no driver, keeps a destruction from its end.
TEST_F(DeviceEndingTest, BackEndThatDoesNotCloseIsTakenOut)
{
    attach_nic();
    daemon_->tool().write(kEndedVif + "/state", "4");
    EXPECT_TRUE(ended(xl({"--timeout", "2.3", "destroy", "7"}), 0));
    EXPECT_EQ(tree(), before_);
    EXPECT_TRUE(contains(history(), "the back end of nics/0 had not closed, and was taken out"));
    EXPECT_EQ(read_file(store_.directory() / "log"), "online\n") << "as libxl has it";
}

// That domain takes its own away once it has closed, and runs its scripts.
TEST_F(DeviceEndingTest, BackEndInADriverDomainStays)
{
    const std::string back = "/local/domain/3/backend/vif/7/0";
    const auto attach = [&] {
        ASSERT_TRUE(ended(xl({"attach", "7", "nics",
                              R"({"devid":0,"mac":"00:16:3e:aa:bb:01","backend_domid":3})"}),
                          0));
    };
    const auto only_the_back_end_is_left = [&](const char* online) {
        EXPECT_EQ(daemon_->tool().read(back + "/online"), online);
        for (const auto* node : {"/libxl/7/device/vif", "/local/domain/7/device/vif"})
            EXPECT_FALSE(daemon_->tool().read(node)) << node;
        daemon_->tool().remove(back);
    };
    attach();
    daemon_->tool().write(back + "/state", "6");
    EXPECT_TRUE(ended(xl({"detach", "7", "nics", "0"}), 0));
    only_the_back_end_is_left("0");
    attach();
    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
    only_the_back_end_is_left("0");
}

TEST_F(DeviceEndingTest, AnotherDomainOfThatNumberIsLeftAlone)
{
    attach_nic();
    daemon_->tool().write("/local/domain/7/vm", "/vm/11111111-2222-4333-8444-555566667777");
    const auto nodes = tree();
    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
    EXPECT_EQ(tree(), nodes);
    EXPECT_EQ(state(), "destroyed");
}

TEST_F(DeviceEndingTest, SilentXenstoredLeavesItUnfinishedAndRecoveryEndsIt)
{
    attach_nic();
    daemon_->stop();
    const Ran ran = xlstore(store_.path(), {"--json", "--timeout", "0.3", "destroy", "7"});
    EXPECT_TRUE(ended(ran, 3));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "unfinished") << ran.out;
    EXPECT_EQ(cell("SELECT state || (SELECT count(*) FROM thing) FROM domain"), "destroying1");
    daemon_->resume();
    daemon_->tool().write(kEndedVif + "/state", "6");  // its driver
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-p"}), kEnded));
    EXPECT_EQ(state(), "destroyed");
    EXPECT_EQ(tree(), before_);
}

// Neither does a recovery leave an empty node above what it takes out, as libxl leaves none.
TEST_F(DeviceEndingTest, NothingStandsEmptyAboveWhatARecoveryTookOut)
{
    attach_nic();
    daemon_->tool().remove("/libxl/7/device/vif");
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-y"}), 1));
    EXPECT_EQ(cell("SELECT state FROM thing"), "stale");
    EXPECT_FALSE(daemon_->tool().read("/local/domain/0/backend/vif"));
    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
    EXPECT_EQ(tree(), before_);
}

class DeviceEndingCrashTest : public DeviceEndingTest,
                              public testing::WithParamInterface<const char*> {};

TEST_P(DeviceEndingCrashTest, IsGoneOnWith)
{
    attach_nic();
    ASSERT_TRUE(ended(xl({"attach", "7", "disks", kDisk}), 0));
    const std::string point = GetParam();
    EXPECT_TRUE(ended(served({"destroy", "7"}, {{"XLSTORE_CRASH_AT", point}}), kKilled));
    EXPECT_EQ(cell("SELECT state || (SELECT count(*) FROM thing) FROM domain"), "destroying2")
        << "R1: the entries go last";
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-p"}), kEnded));
    EXPECT_EQ(state(), "destroyed");
    EXPECT_EQ(tree(), before_);
}

INSTANTIATE_TEST_SUITE_P(Points, DeviceEndingCrashTest,
                         testing::Values("hotplug.before_script:1", "xenstore.before_commit:1",
                                         "xenstore.after_commit:1", "xenstore.before_commit:2",
                                         "destroy.before_end:1"));

}  // namespace
}  // namespace xlstore::test
