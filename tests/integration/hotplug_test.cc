// SPDX-License-Identifier: MIT
// Hotplug scripts, real ones, with the real xenstored and the real commands. The test is the driver
// of the back ends: it answers states 1 and 5 as a kernel does.
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/core/domain.hpp"
#include "store/operation/operation.hpp"
#include "tests/support/back_end_driver.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/scratch_xenstored.hpp"

namespace xlstore::test {
namespace {

constexpr const char* kHotplugUuid = "0badcafe-2222-4333-8444-555566667777";
const std::string kVif = "/local/domain/0/backend/vif/7/0";
const std::vector<std::string> kNodes = {"/libxl/7/device/vif", "/local/domain/7/device/vif",
                                         "/local/domain/0/backend/vif"};
const std::string kVbd = "/local/domain/0/backend/vbd/7/51712";

class HotplugTest : public testing::Test {
protected:
    void SetUp() override
    {
        XLSTORE_NEEDS_XENSTORED();
        daemon_ = std::make_unique<ScratchXenstored>(store_.directory() / "xs");
        setenv("XENSTORED_PATH", daemon_->socket().c_str(), 1);
        daemon_->tool().load(
            "/libxl/7 = \"\" (n0)\n/libxl/7/device = \"\"\n/local/domain/7 = \"\" (n0,r7)\n"
            "/local/domain/7/device = \"\" (n0,r7)\n/local/domain/7/vm = \"/vm/" +
            std::string(kHotplugUuid) + "\"\n/local/domain/0/backend = \"\" (n0,r7)\n");
        daemon_->tool().introduce(7);
        import("");
    }
    void TearDown() override { unsetenv("XENSTORED_PATH"); }

    void import(const std::string& more)
    {
        const std::string document = store_.directory() / "pv.json";
        write_file(document, R"({"c_info":{"type":"pv","name":"pv","uuid":")" +
                                 std::string(kHotplugUuid) + "\"" + more +
                                 R"(},"b_info":{"type.pv":{}}})");
        ASSERT_TRUE(ended(xlstore(store_.path(), {"import", "7", document}), 0));
    }

    /// A script of `body`, which notes its arguments and environment first; `connected` in it says
    /// so in xenstore.
    std::string script(const std::string& body)
    {
        const std::string path = store_.directory() / "hotplug";
        const std::string tool = binary("scratch_xenstored") + " " +
                                 std::string(store_.directory() / "xs") +
                                 " write \"/local/domain/0/";
        write_file(path,
                   "#!/bin/sh\n{ echo \"$@\"; env | grep -E '^(XENBUS_|vif=|netdev=|script=)' "
                   "| sort; } >>" +
                       log() + "\nconnected() { " + tool +
                       "$XENBUS_PATH/hotplug-status\" connected; }\nsay() { " + tool +
                       "$XENBUS_PATH/hotplug-error\" \"$1\"; }\n" + body + "\n");
        chmod(path.c_str(), 0755);
        return path;
    }
    /// A client that attached nics/0 is dead, and the script that it started runs.
    void leave_script_running(Environment environment = {})
    {
        environment.merge(crash_at("spawn.after_start_barrier"));
        script_ = script("[ $1 = offline ] || { while [ ! -e " + go() +
                         " ]; do sleep 0.05; done; connected; }");
        EXPECT_TRUE(ended(served({"attach", "7", "nics", nic(script_)}, environment), kKilled));
        EXPECT_TRUE(wait_until(std::chrono::seconds(10), [&] { return ran() != ""; }));
    }
    void let_script_end()
    {
        write_file(go(), "");
        EXPECT_TRUE(
            wait_until(std::chrono::seconds(10), [&] { return processes_with(script_).empty(); }));
    }
    std::string go() { return store_.directory() / "go"; }
    void take_nodes_out()
    {
        for (const auto& node : kNodes)
            daemon_->tool().remove(node);
    }
    std::string log() { return store_.directory() / "log"; }
    std::string ran() { return access(log().c_str(), F_OK) == 0 ? read_file(log()) : ""; }
    std::string nic(const std::string& script)
    {
        return R"({"devid":0,"mac":"00:16:3e:aa:bb:01","script":")" + script + R"("})";
    }

    /// `xlstore --json words…`, while the driver of both back ends does its part.
    Ran served(const Words& words, const Environment& environment = {})
    {
        return run_with_drivers(store_, daemon_->tool(), {kVif, kVbd}, words, environment);
    }
    std::string entries()
    {
        return sql(store_.path(),
                   "SELECT coalesce(group_concat(class || '/' || key || ' ' || state), '') "
                   "FROM thing");
    }
    std::string tree() { return daemon_->tool().dump("/"); }
    void clean() { EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}), 0)); }

    ScratchStore store_;
    std::unique_ptr<ScratchXenstored> daemon_;
    std::string script_;
};

TEST_F(HotplugTest, IsRunAtAttachAndAtDetach)
{
    const auto before = tree();
    const std::string path = script("[ $1 = offline ] || connected");
    const Ran attached = served({"attach", "7", "nics", nic(path)});
    ASSERT_TRUE(ended(attached, 0)) << attached.out;
    EXPECT_TRUE(contains(attached.out, "its hotplug script is through"));
    const std::string environment =
        "XENBUS_BASE_PATH=backend\nXENBUS_PATH=backend/vif/7/0\n"
        "XENBUS_TYPE=vif\nnetdev=\nscript=" +
        path + "\nvif=vif7.0\n";
    EXPECT_EQ(ran(), "online type_if=vif\n" + environment);
    clean();
    ASSERT_TRUE(ended(served({"detach", "7", "nics", "0"}), 0));
    EXPECT_EQ(ran(), "online type_if=vif\n" + environment + "offline type_if=vif\n" + environment);
    EXPECT_EQ(entries(), "");
    EXPECT_EQ(tree(), before);
}

TEST_F(HotplugTest, OfABlockDeviceIsRun)
{
    const std::string disk = R"({"pdev_path":"vg/lv","vdev":"xvda","format":"raw","script":")" +
                             script("[ $1 = remove ] || connected") + R"("})";
    const Ran attached = served({"attach", "7", "disks", disk});
    ASSERT_TRUE(ended(attached, 0)) << attached.out;
    clean();
    ASSERT_TRUE(ended(served({"detach", "7", "disks", "xvda"}), 0));
    EXPECT_TRUE(ran().starts_with("add\n")) << ran();
    EXPECT_TRUE(
        contains(ran(), "\nremove\nXENBUS_BASE_PATH=backend\nXENBUS_PATH=backend/vbd/7/51712"));
}

// An add that fails changes nothing (R16), and the script's word is in the error.
TEST_F(HotplugTest, ThatFailsIsNoAttach)
{
    const auto before = tree();
    struct Case {
        const char* body;
        const char* said;
    };
    for (const auto& one : {
             Case{"[ $1 = offline ] || { say 'no bridge\x1b[31m xenbr9'; exit 3; }",
                  "exited with status 3: "},
             Case{"[ $1 = offline ] || { head -c 300000 /dev/urandom; head -c 300000 /dev/urandom "
                  ">&2; exit 1; }",
                  "exited with status 1"},
             Case{"[ $1 = offline ] || kill -9 $$", "was killed by signal 9"},
         }) {
        SCOPED_TRACE(one.body);
        const Ran failed = served({"attach", "7", "nics", nic(script(one.body))});
        EXPECT_TRUE(ended(failed, 1));
        EXPECT_EQ(json_at(failed.out, "$.error.code"), "refused") << failed.out;
        EXPECT_TRUE(contains(json_at(failed.out, "$.error.message"), one.said));
        EXPECT_EQ(failed.out.find('\x1b'), std::string::npos) << "printable";
        EXPECT_EQ(entries(), "");
        EXPECT_EQ(tree(), before);
    }
    const Ran missing = served({"attach", "7", "nics", nic(store_.directory() / "none")});
    EXPECT_TRUE(ended(missing, 1));
    EXPECT_TRUE(contains(missing.out, "none"));
    EXPECT_EQ(entries(), "");
}

// Once the back end was told to close, no script connects it any more.
TEST_F(HotplugTest, ThatFailsAtBothEndsIsDetachedAgain)
{
    const std::string path = script("exit 1");
    const Ran failed = served({"attach", "7", "nics", nic(path)});
    EXPECT_TRUE(ended(failed, 3));
    EXPECT_TRUE(contains(json_at(failed.out, "$.error.message"), "not taken out again"));
    const auto advice = json_at(failed.out, "$.error.advice");
    EXPECT_TRUE(contains(advice, "detach it again"));
    EXPECT_FALSE(contains(advice, "xlfsck -y"));
    script("true");
    EXPECT_TRUE(ended(served({"detach", "7", "nics", "0"}), 0)) << "the way that it names";
    clean();
}

// It is killed, with what it started; the time is over, so that the device stays, and is named.
TEST_F(HotplugTest, ThatHangsIsKilled)
{
    const std::string path = script("[ $1 = offline ] || { sleep 321 & sleep 654; }");
    const Ran hung = served({"--timeout", "1", "attach", "7", "nics", nic(path)});
    EXPECT_TRUE(ended(hung, 3));
    EXPECT_EQ(json_at(hung.out, "$.error.code"), "in_doubt") << hung.out;
    EXPECT_TRUE(contains(json_at(hung.out, "$.error.message"), "was killed"));
    EXPECT_TRUE(contains(json_at(hung.out, "$.error.advice"), "xlfsck -y"));
    EXPECT_TRUE(wait_until(std::chrono::seconds(5), [&] { return processes_with(path).empty(); }));
    EXPECT_EQ(entries(), "nics/0 present");
    const Ran named = xlfsck(store_.path(), {"-p"});
    EXPECT_TRUE(ended(named, 4));
    EXPECT_TRUE(contains(named.out, "is not connected"));
    // Recovery runs it; as long as it fails, nothing is changed.
    script("exit 1");
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-y"}), 4));
    script("connected");
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-y"}), 1));
    clean();
    script("true");
    ASSERT_TRUE(ended(served({"detach", "7", "nics", "0"}), 0));
}

TEST_F(HotplugTest, BackEndThatNoDriverServesIsWaitedForAndTakenOut)
{
    const std::string path = script("connected");
    const Ran ran =
        xlstore(store_.path(), {"--json", "--timeout", "1", "attach", "7", "nics", nic(path)});
    EXPECT_TRUE(ended(ran, 3));
    EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "no driver serves " + kVif));
    EXPECT_EQ(entries(), "nics/0 present");
    EXPECT_EQ(this->ran(), "") << "it was not run";
    const Ran fsck = xlfsck(store_.path(), {"-y"});
    EXPECT_TRUE(ended(fsck, 4));
    EXPECT_TRUE(contains(fsck.out, "no driver has set it up"));
}

TEST_F(HotplugTest, IsNotRunWhereAnotherDoes)
{
    const std::string path = script("connected");
    ASSERT_TRUE(
        ended(xlstore(store_.path(), {"attach", "7", "nics", nic(path), "--no-scripts"}), 0));
    EXPECT_TRUE(ended(served({"detach", "7", "nics", "0", "--no-scripts"}), 0));
    const std::string there =
        R"({"devid":1,"backend_domid":3,"mac":"00:16:3e:aa:bb:01","script":")" + path + R"("})";
    ASSERT_TRUE(ended(xlstore(store_.path(), {"attach", "7", "nics", there}), 0));
    EXPECT_EQ(ran(), "");
}

TEST_F(HotplugTest, IsNotRunWhereTheDocumentSaysSo)
{
    ASSERT_TRUE(ended(xlstore(store_.path(), {"destroy", "7"}), 0));
    import(R"(,"run_hotplug_scripts":"False")");
    const std::string path = script("connected");
    ASSERT_TRUE(ended(xlstore(store_.path(), {"attach", "7", "nics", nic(path)}), 0));
    EXPECT_EQ(ran(), "");
    const Ran fsck = xlfsck(store_.path(), {"-y"});
    EXPECT_TRUE(ended(fsck, 4)) << "another program's script has not run";
    EXPECT_EQ(ran(), "");
}

TEST_F(HotplugTest, ThatFailsAtDetachIsGoneOnWith)
{
    const std::string path = script("[ $1 = online ] && connected");
    ASSERT_TRUE(ended(served({"attach", "7", "nics", nic(path)}), 0));
    const Ran ran = served({"detach", "7", "nics", "0"});
    EXPECT_TRUE(ended(ran, 3));
    EXPECT_TRUE(contains(ran.out, "--no-scripts"));
    EXPECT_EQ(entries(), "nics/0 removing");
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-y"}), 4)) << "recovery runs it, too";
    EXPECT_EQ(entries(), "nics/0 removing");
    EXPECT_TRUE(ended(served({"detach", "7", "nics", "0", "--no-scripts"}), 0));
    EXPECT_EQ(entries(), "");
}

// R3: another operation on the domain waits until the script has ended, at attach as at detach.
TEST_F(HotplugTest, RunsUnderTheSlowLock)
{
    const std::string holder = binary("xlstore") + " --store " + store_.path() +
                               " --json locks >" + std::string(store_.directory() / "held");
    const std::string path = script(holder + "; [ $1 = offline ] || connected");
    const auto held = [&](const char* operation) {
        const auto locks = read_file(store_.directory() / "held");
        const auto slow = locks.substr(std::min(locks.find("slow lock"), locks.size()));
        return contains(slow, "\"held\":true") && contains(slow, operation);
    };
    ASSERT_TRUE(ended(served({"attach", "7", "nics", nic(path)}), 0));
    EXPECT_TRUE(held("attach")) << read_file(store_.directory() / "held");
    ASSERT_TRUE(ended(served({"detach", "7", "nics", "0"}), 0));
    EXPECT_TRUE(held("detach")) << read_file(store_.directory() / "held");
}

// Its entry went while the detach had no lock: what has its name by now is another device.
TEST_F(HotplugTest, IsNotRunForADeviceThatAnotherProcessHasRemoved)
{
    const std::string path = script("[ $1 = offline ] || connected");
    ASSERT_TRUE(ended(served({"attach", "7", "nics", nic(path)}), 0));
    const auto store = store_.open();
    const auto row = *find_domain(store->db(), "7");
    const auto until = Clock::now() + std::chrono::seconds(60);
    const ThingName thing{"nics", "0"};
    std::optional<SlowHold> slow(
        *store->loop().wait_for(store->slow_lock(row.id, "pv", "test", until)));
    auto task = detach(*store, row, thing, until);
    task.start();
    while (!task.done() && read_thing(store->db(), row.id, thing)->state != "removing")
        store->loop().wait_and_dispatch();
    store->db().execute("UPDATE thing SET state = 'stale'");
    store->db().execute("DELETE FROM thing");
    slow.reset();
    while (!task.done()) {
        if (daemon_->tool().read(kVif + "/state") == "5")
            daemon_->tool().write(kVif + "/state", "6");
        store->loop().wait_and_dispatch();
    }
    const Outcome outcome = task.take();
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_TRUE(contains(outcome->evidence, "another process has removed it"));
    EXPECT_FALSE(contains(ran(), "offline")) << ran();
    EXPECT_TRUE(daemon_->tool().read(kVif + "/state")) << "its nodes are the other device's";
}

class HotplugCrashTest : public HotplugTest, public testing::WithParamInterface<const char*> {};

TEST_P(HotplugCrashTest, AttachIsConnectedByRecovery)
{
    const std::string path = script("[ $1 = offline ] || connected");
    EXPECT_TRUE(ended(served({"attach", "7", "nics", nic(path)}, crash_at(GetParam())), kKilled));
    const auto state = daemon_->tool().read(kVif + "/state");
    const bool there = state.has_value();
    if (state == "1") daemon_->tool().write(kVif + "/state", "2");  // its driver
    EXPECT_TRUE(entries() != "" || !there) << "R1";
    const int first = xlfsck(store_.path(), {"-y"}).status;
    EXPECT_TRUE(first == 0 || first == 1) << first;
    clean();
    if (!there) return;
    EXPECT_EQ(entries(), "nics/0 present");
    EXPECT_EQ(daemon_->tool().read(kVif + "/hotplug-status"), "connected");
}

TEST_P(HotplugCrashTest, DetachIsFinishedByRecovery)
{
    const std::string path = script("[ $1 = offline ] || connected");
    ASSERT_TRUE(ended(served({"attach", "7", "nics", nic(path)}), 0));
    EXPECT_TRUE(ended(served({"detach", "7", "nics", "0"}, crash_at(GetParam())), kKilled));
    EXPECT_NE(entries(), "");
    const auto state = daemon_->tool().read(kVif + "/state");
    if (state == "5") daemon_->tool().write(kVif + "/state", "6");
    const int first = xlfsck(store_.path(), {"-y"}).status;
    EXPECT_TRUE(first == 0 || first == 1) << first;
    clean();
    if (state == "6") {
        EXPECT_TRUE(contains(ran(), "offline type_if=vif"));
        EXPECT_EQ(entries(), "nics/0 stale");
    }
}

INSTANTIATE_TEST_SUITE_P(Points, HotplugCrashTest,
                         testing::Values("commit.after", "xenstore.after_commit",
                                         "hotplug.before_script", "hotplug.after_script"));

// What a dead client started goes on; it is not run a second time beside it.
TEST_F(HotplugTest, OfADeadClientIsLeftToEnd)
{
    leave_script_running();
    const Ran meanwhile = xlfsck(store_.path(), {"-y"});
    EXPECT_TRUE(ended(meanwhile, 1 + 8)) << "a session was removed; the script has to end first";
    EXPECT_TRUE(contains(meanwhile.out, "runs yet"));
    let_script_end();
    clean();
    EXPECT_EQ(ran().find("online"), ran().rfind("online")) << "once";
}

// A script of the same device in the tree of another xenstored; or, in that of this one, one that
// blocks.
TEST_F(HotplugTest, OfAnotherXenstoredIsNoneOfThisOne)
{
    const std::string path = script("[ $1 != other ] || sleep 60; connected");
    const auto is_busy_beside = [&](const std::string& socket) {
        const Child other(
            {"setsid", path, "other"},
            {{"XENBUS_PATH", "backend/vif/7/0"}, {"script", path}, {"XENSTORED_PATH", socket}});
        EXPECT_TRUE(wait_until(std::chrono::seconds(10), [&] { return contains(ran(), "other"); }));
        const Ran attached = served({"attach", "7", "nics", nic(path)});
        unlink(log().c_str());
        return contains(attached.out, "runs yet");
    };
    EXPECT_TRUE(is_busy_beside(daemon_->socket()));
    EXPECT_TRUE(ended(served({"detach", "7", "nics", "0"}), 0));
    EXPECT_FALSE(is_busy_beside("/elsewhere"));
    EXPECT_EQ(entries(), "nics/0 present");
}

// What a script leaves behind has its environment, and the command line of its shell.
TEST_F(HotplugTest, WhatItLeavesBehindIsNotWaitedFor)
{
    const auto before = tree();
    const std::string path =
        script("[ $1 = offline ] || { while [ ! -e " + go() +
               " ]; do sleep 0.05; done >/dev/null 2>&1 </dev/null & connected; }");
    EXPECT_TRUE(ended(served({"attach", "7", "nics", nic(path)}), 0));
    EXPECT_FALSE(processes_with(path).empty());
    EXPECT_TRUE(ended(served({"destroy", "7"}), 0));
    write_file(go(), "");
    EXPECT_EQ(tree(), before);
}

TEST_F(HotplugTest, ThatHangsKeepsNoDestruction)
{
    const auto before = tree();
    const std::string path = script("[ $1 = online ] && connected || sleep 600");
    EXPECT_TRUE(ended(served({"attach", "7", "nics", nic(path)}), 0));
    EXPECT_TRUE(ended(served({"--timeout", "6", "destroy", "7"}), 0));
    EXPECT_EQ(tree(), before);
}

// The client has a variable of its own of that name, from a script that called it.
TEST_F(HotplugTest, OfADeadClientIsFoundByWhatItWasGiven)
{
    leave_script_running({{"script", "/another"}, {"XENBUS_PATH", "backend/vif/1/1"}});
    EXPECT_TRUE(contains(xlfsck(store_.path(), {"-y"}).out, "runs yet"));
    EXPECT_TRUE(contains(ran(), "XENBUS_PATH=backend/vif/7/0"));
    let_script_end();
    clean();
}

// Its word would make the nodes anew behind the end of the domain.
TEST_F(HotplugTest, OfADeadClientIsWaitedForByADestruction)
{
    const auto before = tree();
    leave_script_running();
    const Ran meanwhile = served({"--timeout", "4", "destroy", "7"});
    EXPECT_TRUE(ended(meanwhile, 3));
    EXPECT_EQ(json_at(meanwhile.out, "$.error.code"), "unfinished") << meanwhile.out;
    EXPECT_TRUE(contains(meanwhile.out, "nics/0: its hotplug script runs yet"));
    EXPECT_TRUE(daemon_->tool().read(kVif));
    let_script_end();
    EXPECT_TRUE(ended(served({"destroy", "7"}), 0));
    EXPECT_EQ(tree(), before);
    EXPECT_EQ(ran().find("offline"), ran().rfind("offline")) << "once";
}

// So it would behind a detach of a device whose nodes are gone: a xenstored begins with none.
TEST_F(HotplugTest, OfADeadClientIsWaitedForByADetachWithoutNodes)
{
    const auto before = tree();
    leave_script_running();
    take_nodes_out();
    const Ran meanwhile = served({"detach", "7", "nics", "0"});
    EXPECT_TRUE(ended(meanwhile, 3));
    EXPECT_TRUE(contains(meanwhile.out, "its hotplug script runs yet"));
    const Ran recovery = xlfsck(store_.path(), {"-y"});
    EXPECT_TRUE(contains(recovery.out, "its hotplug script runs yet")) << recovery.out;
    let_script_end();
    EXPECT_TRUE(daemon_->tool().read(kVif + "/hotplug-status")) << "it came late";
    EXPECT_TRUE(ended(served({"detach", "7", "nics", "0"}), 0));
    EXPECT_EQ(entries(), "");
    EXPECT_EQ(tree(), before);
}

// A recovery takes out what is left of a device that has no back end.
TEST_F(HotplugTest, OfADeadClientIsWaitedForByARecovery)
{
    const auto before = tree();
    leave_script_running();
    daemon_->tool().remove("/local/domain/0/backend/vif");
    const Ran meanwhile = xlfsck(store_.path(), {"-y"});
    EXPECT_TRUE(contains(meanwhile.out, "its hotplug script runs yet")) << meanwhile.out;
    EXPECT_TRUE(daemon_->tool().read("/libxl/7/device/vif/0"));
    let_script_end();
    daemon_->tool().remove("/local/domain/0/backend/vif");
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-y"}), 1));
    EXPECT_EQ(tree(), before);
}

// libxl has destroyed the domain meanwhile.
TEST_F(HotplugTest, OfADeadClientIsWaitedForWhereXenHasNoSuchDomain)
{
    leave_script_running();
    take_nodes_out();
    daemon_->tool().remove("/libxl/7");
    daemon_->tool().remove("/local/domain/7");
    const auto over = tree();
    EXPECT_TRUE(contains(served({"--timeout", "4", "destroy", "7"}).out, "runs yet"));
    let_script_end();
    EXPECT_NE(tree(), over);
    EXPECT_TRUE(ended(served({"destroy", "7"}), 0));
    EXPECT_EQ(tree(), over);
}

// Nor does a recovery end a domain that Xen has no more, or take out what is left of it.
TEST_F(HotplugTest, OfADeadClientIsWaitedForByARecoveryThatEndsItsDomain)
{
    leave_script_running();
    take_nodes_out();
    daemon_->tool().release(7);
    EXPECT_TRUE(contains(xlfsck(store_.path(), {"-y"}).out, "runs yet"));
    EXPECT_EQ(sql(store_.path(), "SELECT state FROM domain"), "running");
    let_script_end();
    EXPECT_NE(daemon_->tool().read(kVif), std::nullopt);
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-y"}), 1));
    EXPECT_EQ(sql(store_.path(), "SELECT state FROM domain"), "destroyed");
    EXPECT_FALSE(daemon_->tool().read("/local/domain/0/backend/vif"));
    clean();
}

// A destruction waits for no lock of an attach's: it may come between its look and its script.
TEST_F(HotplugTest, WhatAScriptMakesAnewOfADeviceThatWasTakenOutGoes)
{
    const auto before = tree();
    std::string take_out;
    for (const auto& node : kNodes)
        take_out += binary("scratch_xenstored") + " " + std::string(store_.directory() / "xs") +
                    " rm " + node + "; ";
    const Ran attached = served({"attach", "7", "nics", nic(script(take_out + "connected"))});
    EXPECT_TRUE(ended(attached, 1));
    EXPECT_TRUE(contains(attached.out, "was taken out while its hotplug script ran"));
    EXPECT_EQ(entries(), "");
    EXPECT_EQ(tree(), before);
}

}  // namespace
}  // namespace xlstore::test
