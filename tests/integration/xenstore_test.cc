// SPDX-License-Identifier: MIT
// Things of xenstore, with the real xenstored and the real commands. The test is the guest and the
// back end: it writes their states.
#include <stdlib.h>

#include <functional>
#include <memory>

#include "store/core/domain.hpp"
#include "store/operation/operation.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/scratch_xenstored.hpp"
#include "tests/support/stopping.hpp"

namespace xlstore::test {
namespace {

constexpr const char* kUuid = "0badcafe-2222-4333-8444-555566667777";
constexpr const char* kNic = R"({"mac":"00:16:3e:aa:bb:01","bridge":"xenbr1"})";
const std::string kOwn = "/libxl/7/device/vif/0";
const std::string kBack = "/local/domain/0/backend/vif/7/0";

class XenstoreTest : public testing::Test {
protected:
    void SetUp() override
    {
        XLSTORE_NEEDS_XENSTORED();
        daemon_ = std::make_unique<ScratchXenstored>(store_.directory() / "xs");
        setenv("XENSTORED_PATH", daemon_->socket().c_str(), 1);
        make_domain();
        daemon_->tool().introduce(7);
        const std::string document = store_.directory() / "pv.json";
        write_file(document, R"({"c_info":{"type":"pv","name":"pv","uuid":")" + std::string(kUuid) +
                                 R"(","run_hotplug_scripts":"False"},"b_info":{"type.pv":{}}})");
        ASSERT_TRUE(ended(xl({"import", "7", document}), 0));
    }
    void TearDown() override { unsetenv("XENSTORED_PATH"); }

    /// What libxl makes of a domain before its devices.
    void make_domain(const std::string& uuid = kUuid)
    {
        daemon_->tool().load(
            "/libxl/7 = \"\" (n0)\n/libxl/7/device = \"\"\n/libxl/7/type = \"pv\"\n"
            "/local/domain/7 = \"\" (n0,r7)\n"
            "/local/domain/7/device = \"\" (n0,r7)\n"
            "/local/domain/7/vm = \"/vm/" +
            uuid + "\"\n/local/domain/0/backend = \"\" (n0,r7)\n");
    }
    Ran xl(const Words& words) { return xlstore(store_.path(), words); }
    Ran json(Words words)
    {
        words.insert(words.begin(), "--json");
        return xl(words);
    }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    std::string entries()
    {
        return cell(
            "SELECT coalesce(group_concat(class || '/' || key || ' ' || state), '') "
            "FROM thing");
    }
    std::string tree() { return daemon_->tool().dump("/"); }
    std::string value(const std::string& path)
    {
        return daemon_->tool().read(path).value_or("(none)");
    }
    void close_back_end(const std::string& back) { daemon_->tool().write(back + "/state", "6"); }
    /// `xlstore attach` of the nic.
    void attach_nic() { ASSERT_TRUE(ended(xl({"attach", "7", "nics", kNic}), 0)); }
    /// It ended with this status and error, and store and xenstore are as they were.
    void refused(const Words& words, int status, const std::string& code, const std::string& said)
    {
        const auto rows = dump(store_.path());
        const auto nodes = tree();
        const Ran ran = json(words);
        EXPECT_TRUE(ended(ran, status));
        EXPECT_EQ(json_at(ran.out, "$.error.code"), code) << ran.out;
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), said));
        EXPECT_EQ(dump(store_.path()), rows);
        EXPECT_EQ(tree(), nodes);
    }

    ScratchStore store_;
    std::unique_ptr<ScratchXenstored> daemon_;
};

struct Case {
    const char* device_class;
    const char* json;
    const char* key;   // of the entry
    const char* own;   // below /libxl/7/device
    const char* back;  // below /local/domain/0/backend
};

const Case kCases[] = {
    {"disks", R"({"pdev_path":"/a","vdev":"xvda","format":"qcow2","readwrite":1})", "xvda",
     "vbd/51712", "qdisk/7/51712"},
    {"nics", R"({"mac":"00:16:3e:aa:bb:01"})", "0", "vif/0", "vif/7/0"},
    {"vtpms", R"({"uuid":"11111111-2222-3333-4444-555555555555"})", "0", "vtpm/0", "vtpm/7/0"},
    {"vkbs", R"({"unique_id":"k"})", "#0", "vkbd/0", "vkbd/7/0"},
    {"vfbs", R"({"vnc":{"listen":"::1"}})", "#1", "vfb/0", "vfb/7/0"},
    {"p9s", R"({"tag":"t","path":"/srv","security_model":"none"})", "#2", "9pfs/0", "9pfs/7/0"},
    {"vdispls", R"({"connectors":[{"unique_id":"c","width":8,"height":6}]})", "0", "vdispl/0",
     "vdispl/7/0"},
    {"vsnds", R"({"short_name":"card","pcms":[{"name":"p"}]})", "0", "vsnd/0", "vsnd/7/0"},
    {"channels", R"({"devid":1,"name":"org.example","connection.pty":{}})", "#3", "console/1",
     "console/7/1"},
    {"usbctrls", R"({"type":"qusb","ports":2})", "0", "vusb/0", "qusb/7/0"},
};

// R18. The writer lock keeps an operation from its commit until xenstored is stopped; it is
// cancelled once the entries are `wanted`. What it answers.
class XenstoreCancelTest : public XenstoreTest {
protected:
    std::optional<Error> cancelled_at(const std::function<Task<Outcome>(Store&)>& operation,
                                      const std::string& wanted)
    {
        auto store = store_.open();
        auto other = store_.open();
        auto held = *other->locks().try_acquire(LockKind::writer, 0);
        EXPECT_TRUE(held);
        {
            auto task = operation(*store);
            task.start();
            for (const auto until = Clock::now() + std::chrono::seconds(1); Clock::now() < until;)
                store->loop().dispatch();
            daemon_->stop();
            held.reset();
            while (!task.done() && entries() != wanted)
                store->loop().dispatch();
            EXPECT_FALSE(task.done()) << entries();
        }
        daemon_->resume();
        return store->take_left_answer();
    }
    static Deadline in_a_minute() { return Clock::now() + std::chrono::seconds(60); }
};

TEST_F(XenstoreCancelTest, AttachBehindItsCommitIsInDoubt)
{
    const auto answer = cancelled_at(
        [](Store& store) {
            return attach(store, *find_domain(store.db(), "7"), "nics", kNic, in_a_minute());
        },
        "nics/0 present");
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->code, Errc::in_doubt) << answer->message;
    EXPECT_TRUE(contains(answer->message, "nics/0 is not settled in xenstore"));
}

TEST_F(XenstoreCancelTest, DetachBehindItsCommitIsInDoubt)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "nics", kNic}), 0));
    const auto answer = cancelled_at(
        [](Store& store) {
            ThingName nic{"nics", "0"};
            return detach(store, *find_domain(store.db(), "7"), std::move(nic), in_a_minute());
        },
        "nics/0 removing");
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->code, Errc::in_doubt) << answer->message;
    EXPECT_TRUE(contains(answer->message, "nics/0 is not settled in xenstore"));
}

TEST_F(XenstoreCancelTest, BeforeTheCommitNothingIsChanged)
{
    auto store = store_.open();
    auto other = store_.open();
    const auto held = *other->locks().try_acquire(LockKind::writer, 0);
    ASSERT_TRUE(held);
    {
        auto early = attach(*store, *find_domain(store->db(), "7"), "nics", kNic, in_a_minute());
        early.start();
        for (int i = 0; i < 20; ++i)
            store->loop().dispatch();
        EXPECT_FALSE(early.done());
    }
    const auto answer = store->take_left_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->code, Errc::cancelled) << answer->message;
    EXPECT_EQ(entries(), "");
}

TEST_F(XenstoreTest, EachClassIsAttachedAndDetached)
{
    const auto before = tree();
    for (const auto& one : kCases) {
        SCOPED_TRACE(one.device_class);
        const std::string own = std::string("/libxl/7/device/") + one.own;
        const std::string front = std::string("/local/domain/7/device/") + one.own;
        const std::string back = std::string("/local/domain/0/backend/") + one.back;
        const Ran ran = json({"attach", "7", one.device_class, one.json});
        ASSERT_TRUE(ended(ran, 0));
        EXPECT_EQ(json_at(ran.out, "$.intent"), "") << "there is no intent";
        EXPECT_EQ(entries(), std::string(one.device_class) + "/" + one.key + " present");
        EXPECT_EQ(value(own + "/backend"), back);
        EXPECT_EQ(value(own + "/frontend"), front);
        EXPECT_EQ(value(front + "/backend"), back);
        EXPECT_EQ(value(back + "/frontend"), front);
        EXPECT_EQ(value(back + "/online") + value(back + "/state") + value(front + "/state"),
                  "111");
        EXPECT_EQ(daemon_->tool().permissions(front), "n7,r0");
        EXPECT_EQ(daemon_->tool().permissions(front + "/state"), "n7,r0");
        EXPECT_EQ(daemon_->tool().permissions(back + "/state"), "n0,r7");
        EXPECT_EQ(daemon_->tool().permissions(own + "/state"), "n0");
        if (one.device_class == std::string("nics"))  // as its hotplug script does
            daemon_->tool().write(back + "/hotplug-status", "connected");
        EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}), 0));
        close_back_end(back);
        EXPECT_TRUE(ended(xl({"detach", "7", one.device_class, one.key}), 0));
        EXPECT_EQ(entries(), "");
        EXPECT_EQ(tree(), before);
    }
}

TEST_F(XenstoreTest, WhatLibxlChoosesIsInTheDocument)
{
    daemon_->tool().write("/libxl/7/device/vif/4", "");  // of another toolstack
    ASSERT_TRUE(ended(xl({"attach", "7", "nics", R"({"bridge":"b"})"}), 0));
    const auto exported = xl({"export", "7"}).out;
    EXPECT_EQ(json_at(exported, "$.nics[0].devid"), "5");
    EXPECT_EQ(json_at(exported, "$.nics[0].nictype"), "vif");
    const auto mac = json_at(exported, "$.nics[0].mac");
    EXPECT_TRUE(mac.starts_with("00:16:3e:")) << mac;
    EXPECT_EQ(value("/libxl/7/device/vif/5/mac"), mac);
}

TEST_F(XenstoreTest, WhatIsThereIsNotOverwritten)
{
    attach_nic();
    refused({"attach", "7", "nics", R"({"devid":0})"}, 1, "exists", kOwn);
    daemon_->tool().write("/libxl/7/device/vbd/51712", "");
    refused({"attach", "7", "disks", R"({"pdev_path":"/a","vdev":"xvda","format":"qcow2"})"}, 1,
            "exists", "/libxl/7/device/vbd/51712");
}

TEST_F(XenstoreTest, AnotherDomainOfThatNumberIsLeftAlone)
{
    attach_nic();
    daemon_->tool().write("/local/domain/7/vm", "/vm/99999999-2222-4333-8444-555566667777");
    refused({"attach", "7", "nics", R"({"devid":1})"}, 1, "refused", "another domain");
    refused({"detach", "7", "nics", "0"}, 1, "refused", "/vm/99999999");
    daemon_->tool().remove("/local/domain/7");
    refused({"attach", "7", "nics", R"({"devid":1})"}, 1, "refused", "/local/domain/7/vm");
}

// "asked, waiting for the guest" lasts without a lock and over commands.
TEST_F(XenstoreTest, TheGuestIsWaitedFor)
{
    attach_nic();
    daemon_->tool().write(kBack + "/state", "4");
    const Ran ran = json({"--timeout", "1", "detach", "7", "nics", "0"});
    EXPECT_TRUE(ended(ran, 3));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "in_doubt");
    EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "waiting for the guest"));
    EXPECT_EQ(entries(), "nics/0 removing");
    EXPECT_EQ(value(kBack + "/online") + value(kBack + "/state"), "05");
    EXPECT_TRUE(contains(xl({"export", "7"}).out, "00:16:3e:aa:bb:01")) << "it is still there";
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-p"}), 2)) << "the guest must act, nothing else";
    EXPECT_EQ(entries(), "nics/0 removing");

    Child again({binary("xlstore"), "--store", store_.path(), "detach", "7", "nics", "0"});
    ASSERT_TRUE(ended(xl({"attach", "7", "nics", R"({"devid":1})"}), 0)) << "no lock is held";
    close_back_end(kBack);
    EXPECT_EQ(again.wait(), 0);
    EXPECT_EQ(entries(), "nics/1 present");
    EXPECT_EQ(value(kOwn), "(none)");
}

// libxl has taken it out meanwhile. What is there now is none of the detach's, which still waits.
TEST_F(XenstoreTest, WhatIsAttachedAnewIsNotOnItsWayOut)
{
    attach_nic();
    daemon_->tool().write(kBack + "/state", "4");
    Child removal({binary("xlstore"), "--store", store_.path(), "detach", "7", "nics", "0"});
    EXPECT_TRUE(
        wait_until(std::chrono::seconds(60), [&] { return value(kBack + "/state") == "5"; }));
    auto store = store_.open();
    EXPECT_TRUE(store->loop().wait_for(store->fast_lock(store->loop(), DomainId(1), "test",
                                                        Clock::now() + std::chrono::seconds(60))))
        << "it waits without a lock";
    removal.signal(SIGSTOP);
    for (const auto& path : {kOwn, kBack, std::string("/local/domain/7/device/vif/0")})
        daemon_->tool().remove(path);
    EXPECT_EQ(entries(), "nics/0 removing");
    EXPECT_TRUE(ended(xl({"attach", "7", "nics", R"({"devid":0,"bridge":"xenbr2"})"}), 0));
    EXPECT_EQ(entries(), "nics/0 present");
    removal.signal(SIGCONT);
    EXPECT_EQ(removal.wait(), 0);
    EXPECT_EQ(entries(), "nics/0 present");
    EXPECT_EQ(value(kOwn + "/bridge"), "xenbr2");
    EXPECT_TRUE(ended(xl({"close", "7", "--reason", "migration"}), 0)) << "nothing is under way";
}

TEST_F(XenstoreTest, ValuesThatAGuestMayWriteAreNoPaths)
{
    attach_nic();
    const auto other = std::string("/local/domain/0/backend/vif/8/0");
    daemon_->tool().write(other + "/state", "4");
    // The guest may write its front end: nothing of it is believed.
    daemon_->tool().write("/local/domain/7/device/vif/0/backend", other);
    daemon_->tool().write(kBack + "/state", std::string("6\0\xff/../x", 8));
    const Ran ran = json({"--timeout", "1", "detach", "7", "nics", "0"});
    EXPECT_TRUE(ended(ran, 3));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "in_doubt");
    EXPECT_EQ(value(other + "/state"), "4");
    // What libxl's own copy names is another guest's: that is refused.
    daemon_->tool().write(kOwn + "/backend", other);
    refused({"detach", "7", "nics", "0"}, 1, "refused", kOwn + "/backend");
    daemon_->tool().write(kOwn + "/backend", kBack);
    close_back_end(kBack);
    EXPECT_TRUE(ended(xl({"detach", "7", "nics", "0"}), 0));
    EXPECT_EQ(value(other + "/state"), "4");
}

TEST_F(XenstoreTest, AConflictIsTriedAgain)
{
    Stopping attach(store_, {"attach", "7", "nics", kNic}, "xenstore.before_commit");
    ASSERT_TRUE(attach.stopped());
    EXPECT_EQ(entries(), "nics/0 present") << "the entry comes first (R4)";
    EXPECT_EQ(value(kOwn), "(none)");
    daemon_->tool().write("/libxl/7/device/vif/9", "");  // changes a node that both change
    EXPECT_TRUE(ended(attach.finish(), 0));
    EXPECT_EQ(value(kOwn + "/bridge"), "xenbr1");
}

// A device that another program put there between the entry's commit and the transaction.
TEST_F(XenstoreTest, AnAttachThatIsTooLateTakesItsEntryBack)
{
    Stopping attach(store_, {"attach", "7", "nics", R"({"devid":0})"}, "xenstore.before_commit");
    ASSERT_TRUE(attach.stopped());
    daemon_->tool().write(kOwn, "");
    const Ran ran = attach.finish();
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "exists") << ran.out;
    EXPECT_EQ(entries(), "");
    EXPECT_EQ(value(kBack), "(none)");
}

class XenstoreCrashTest : public XenstoreTest, public testing::WithParamInterface<const char*> {};

TEST_P(XenstoreCrashTest, AttachIsDoneOrHasItsEntryAlone)
{
    EXPECT_TRUE(ended(xlstore(store_.path(), {"attach", "7", "nics", kNic}, crash_at(GetParam())),
                      kKilled));
    const bool there = value(kOwn) != "(none)";
    const bool entry = entries() != "";
    EXPECT_TRUE(entry || !there) << "R1";
    // The next one finds its way.
    const Ran again = xl({"attach", "7", "nics", R"({"devid":0,"mac":"00:16:3e:aa:bb:01"})"});
    EXPECT_EQ(again.status, there ? 1 : 0) << again.err;
    EXPECT_EQ(entries(), "nics/0 present");
    close_back_end(kBack);
    EXPECT_TRUE(ended(xl({"detach", "7", "nics", "0"}), 0));
    EXPECT_EQ(entries(), "");
    EXPECT_EQ(value("/libxl/7/device/vif"), "(none)");
}

TEST_P(XenstoreCrashTest, DetachGoesOnWhereItEnded)
{
    for (const int passing : {1, 2}) {
        SCOPED_TRACE(passing);
        attach_nic();
        close_back_end(kBack);
        EXPECT_TRUE(ended(
            xlstore(store_.path(), {"detach", "7", "nics", "0"}, crash_at(GetParam(), passing)),
            kKilled));
        const bool there = value(kOwn) != "(none)";
        EXPECT_TRUE(entries() != "" || !there) << "R1";
        if (entries() != "") {
            EXPECT_TRUE(ended(xl({"detach", "7", "nics", "0"}), 0));
        }
        EXPECT_EQ(entries(), "");
        EXPECT_EQ(value("/libxl/7/device/vif"), "(none)");
        EXPECT_EQ(value("/local/domain/0/backend/vif"), "(none)");
    }
}

INSTANTIATE_TEST_SUITE_P(Points, XenstoreCrashTest,
                         testing::Values("commit.before", "commit.after", "xenstore.before_commit",
                                         "xenstore.after_commit"));

// R5: what a dead client had sent comes between a removal's look and its end, and is there then.
TEST_F(XenstoreTest, ADeadClientsNodesThatComeLateAreNotPassedOver)
{
    attach_nic();
    const auto with_nic = tree();
    const auto nodes = [&](bool are_there) {
        if (are_there)
            daemon_->tool().load(with_nic);
        else
            for (const auto* path : {"/libxl/7/device/vif", "/local/domain/7/device/vif",
                                     "/local/domain/0/backend/vif"})
                daemon_->tool().remove(path);
    };
    nodes(false);
    const auto without = tree();
    {
        Stopping detach(store_, {"detach", "7", "nics", "0"}, "commit.after", 2);  // behind its look
        ASSERT_TRUE(detach.stopped());
        nodes(true);
        const Ran ran = detach.finish();
        EXPECT_TRUE(ended(ran, 3)) << ran.out;
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "came meanwhile"));
    }
    EXPECT_EQ(entries(), "nics/0 removing");
    EXPECT_EQ(tree(), with_nic);
    close_back_end(kBack);
    EXPECT_TRUE(ended(xl({"detach", "7", "nics", "0"}), 0)) << "the way out that it names";
    EXPECT_EQ(entries(), "");
    EXPECT_EQ(tree(), without);
}

TEST_F(XenstoreTest, AnAbsentXenstoredIsNoAnswer)
{
    attach_nic();
    setenv("XENSTORED_PATH", (store_.directory() / "nothing").c_str(), 1);
    refused({"attach", "7", "nics", R"({"devid":1})"}, 1, "io", "could not look into xenstore");
    refused({"detach", "7", "nics", "0"}, 1, "io", "could not look into xenstore");
}

TEST_F(XenstoreTest, ASilentXenstoredChangesNothing)
{
    attach_nic();
    const auto rows = dump(store_.path());
    daemon_->stop();
    for (const Words& words :
         {Words{"attach", "7", "nics", R"({"devid":1})"}, Words{"detach", "7", "nics", "0"}}) {
        Words timed = {"--timeout", "1"};
        timed.insert(timed.end(), words.begin(), words.end());
        const Ran ran = json(timed);
        EXPECT_TRUE(ended(ran, 1));
        EXPECT_EQ(json_at(ran.out, "$.error.code"), "timeout") << ran.out;
        EXPECT_EQ(dump(store_.path()), rows);
    }
    daemon_->resume();
}

TEST_F(XenstoreTest, SilenceOverTheCommitIsInDoubt)
{
    Child attach({binary("xlstore"), "--store", store_.path(), "--timeout", "1", "attach", "7",
                  "nics", kNic},
                 {{"XLSTORE_STOP_AT", "xenstore.before_commit"}});
    ASSERT_TRUE(stops(attach));
    daemon_->stop();
    attach.signal(SIGCONT);
    EXPECT_EQ(attach.wait(), 3);
    EXPECT_EQ(entries(), "nics/0 present");
    daemon_->resume();
    // It may have had the commit, or dropped it with the connection: the next attach knows.
    const Ran again = xl({"attach", "7", "nics", R"({"devid":0})"});
    EXPECT_TRUE(again.status == 0 || again.status == 1) << again.err;
    EXPECT_NE(value(kOwn), "(none)");
    EXPECT_EQ(entries(), "nics/0 present");
}

// The new daemon has nothing of the domain: the device is not there, and its entry goes.
TEST_F(XenstoreTest, AXenstoredThatIsStartedAnewHasNothing)
{
    Stopping attach(store_, {"attach", "7", "nics", kNic}, "xenstore.before_commit");
    ASSERT_TRUE(attach.stopped());
    daemon_->restart();
    const Ran ran = attach.finish();
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "refused") << ran.out;
    EXPECT_EQ(entries(), "");
}

TEST_F(XenstoreTest, AKilledXenstoredLeavesItInDoubt)
{
    Stopping attach(store_, {"attach", "7", "nics", kNic}, "xenstore.before_commit");
    ASSERT_TRUE(attach.stopped());
    daemon_->kill();
    const Ran ran = attach.finish();
    EXPECT_TRUE(ended(ran, 3));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "in_doubt") << ran.out;
    EXPECT_EQ(entries(), "nics/0 present");
}

TEST_F(XenstoreTest, ABatchTakesThemInTurn)
{
    const std::string requests =
        R"([{"attach":"nics","thing":{"devid":0}},{"attach":"nics","thing":{"devid":0}},)"
        R"({"attach":"vkbs","thing":{}}])";
    refused({"batch", "7", requests}, 1, "invalid", "named before");
    const std::string twice = R"([{"attach":"nics","thing":{}},{"detach":"nics","key":"9"},)"
                              R"({"attach":"vkbs","thing":{}}])";
    refused({"batch", "7", twice, "--all-or-none"}, 1, "invalid", "all done or none");
    const Ran ran = json({"batch", "7", twice});
    EXPECT_EQ(json_at(ran.out, "$.outcomes[0].outcome"), "done") << ran.out;
    EXPECT_EQ(json_at(ran.out, "$.outcomes[1].error.code"), "not_found");
    EXPECT_EQ(json_at(ran.out, "$.outcomes[2].outcome"), "done");
    EXPECT_EQ(entries(), "nics/0 present,vkbs/#0 present");
}

}  // namespace
}  // namespace xlstore::test
