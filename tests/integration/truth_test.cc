// SPDX-License-Identifier: MIT
// R18: what an operation answers is true, also when something happened to an earlier one, to its QEMU or to
// the store on the way.
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "recovery/runs/recover.hpp"
#include "tests/support/domain_test.hpp"
#include "tests/support/stopping.hpp"
#include "xlstore/xlstore.h"

namespace xlstore::test {
namespace {

using std::chrono::seconds;

/// SQL over a connection of its own, as no program of ours would run it.
void execute(const std::string& store, const std::string& statements)
{
    Db(store + "/store.db", Db::Mode::read_write).execute(statements);
}

std::string usb_controller(int devid)
{
    return R"({"type":"devicemodel","devid":)" + std::to_string(devid) +
           R"(,"version":2,"ports":6})";
}

/// A command that was killed, and is given once more.
class RetryTest : public DomainTest {
protected:
    Words attach() { return {"attach", "7", "qemu", tablet("t")}; }
    Words detach() { return {"detach", "7", "qemu", "t"}; }
    Words insert(char image) { return {"insert", "7", "hdc", domain_.image(image)}; }
    Words eject() { return {"eject", "7", "hdc"}; }
    Words two_attached(const Words& flags)
    {
        Words words = {"batch", "7",
                       R"([{"attach":"qemu","thing":)" + tablet("t") +
                           R"(},{"attach":"qemu","thing":)" + chardev("c") + "}]"};
        words.insert(words.end(), flags.begin(), flags.end());
        return words;
    }
    Words two_detached()
    {
        return {"batch", "7", R"([{"detach":"qemu","key":"t"},{"detach":"qemu","key":"c"}])"};
    }
    bool has_tablet() { return static_cast<bool>(contains(" " + domain_.devices() + " ", " t ")); }

    /// Killed at each passing of each point: with what was left open, the command given again is
    /// done, unless the first one had come to its end, when the second says what it would say of
    /// any finished one (`repeated`). `back` undoes it.
    void each_kill(const Words& words, const Words& back, const std::function<bool()>& fulfilled,
                   int repeated)
    {
        int retried = 0;
        for (const std::string point : {"commit.before", "commit.after", "qmp.after_send"})
            for (int passing = 1;; ++passing) {
                SCOPED_TRACE(point + ":" + std::to_string(passing));
                const Ran killed = xl(words, crash_at(point, passing));
                if (killed.status != kKilled) {
                    EXPECT_TRUE(ended(xl(back), 0));
                    break;
                }
                const bool open = cell("SELECT count(*) FROM intent") != "0";
                const bool over = !open && fulfilled();
                const Ran again = xl(words);
                EXPECT_TRUE(ended(again, over ? repeated : 0)) << again.out << again.err;
                EXPECT_TRUE(fulfilled());
                retried += open ? 1 : 0;
                EXPECT_TRUE(invariant_holds(store_.path(), domain_.judge()));
                EXPECT_LE(fsck({"-p"}).status, 1);  // the dead session's row
                EXPECT_TRUE(all_is_settled());
                EXPECT_TRUE(ended(xl(back), 0));
            }
        EXPECT_GT(retried, 2);
    }
};

TEST_F(RetryTest, AttachIsDone)
{
    each_kill(
        attach(), detach(), [&] { return has_tablet(); }, 1);
}

TEST_F(RetryTest, DetachIsDone)
{
    ASSERT_TRUE(ended(xl(attach()), 0));
    each_kill(
        detach(), attach(), [&] { return !has_tablet(); }, 4);
}

TEST_F(RetryTest, InsertIsDone)
{
    each_kill(
        insert('b'), insert('a'), [&] { return domain_.medium() == domain_.image('b'); }, 0);
}

TEST_F(RetryTest, EjectIsDone)
{
    each_kill(
        eject(), insert('a'), [&] { return domain_.medium().empty(); }, 0);
}

TEST_F(RetryTest, BatchAllOrNoneIsDone)
{
    each_kill(
        two_attached({"--all-or-none"}), two_detached(), [&] { return has_tablet(); }, 0);
}

// Each request of it was its own intent; what the killed one had finished is there already.
TEST_F(RetryTest, BatchSaysOfEachRequestWhatIsTrue)
{
    ASSERT_TRUE(ended(xl(two_attached({}), crash_at("commit.before", 5)), kKilled));
    ASSERT_EQ(entry("t"), "present");
    ASSERT_EQ(entry("c"), "adding");

    Words again = two_attached({});
    again.insert(again.begin(), "--json");
    const Ran ran = xl(again);

    EXPECT_TRUE(ended(ran, 0));
    EXPECT_TRUE(contains(json_at(ran.out, "$.outcomes[0].evidence"), "there already"));
    EXPECT_EQ(json_at(ran.out, "$.outcomes[1].outcome"), "done");
}

// The number is that of the intent that was found: what `wait` says of it is said of this request.
TEST_F(RetryTest, DoneCarriesTheNumberThatWasFound)
{
    ASSERT_TRUE(ended(xl(insert('b'), crash_at("commit.before", 3)), kKilled));
    const auto number = cell("SELECT id FROM intent");

    Words again = insert('b');
    again.insert(again.begin(), "--json");
    EXPECT_EQ(json_at(xl(again).out, "$.intent"), number);

    EXPECT_TRUE(ended(xl({"wait", number}), 0));
}

TEST_F(RetryTest, VcpuIsDone)
{
    const ScratchDomain big(store_, 8, "big", {"-smp", "1,maxcpus=2"});
    const Words plug = {"attach", "8", "vcpus", R"({"index":1})"};
    ASSERT_TRUE(ended(xl(plug, crash_at("commit.before", 3)), kKilled));
    ASSERT_TRUE(contains(big.devices(), "cpu-1"));

    EXPECT_TRUE(ended(xl(plug), 0));

    EXPECT_EQ(cell("SELECT state FROM thing WHERE class = 'vcpus'"), "present");
}

TEST_F(RetryTest, UsbDeviceIsDone)
{
    const std::string device = R"({"ctrl":0,"port":1,"type.emulated":{"driver":"usb-tablet"}})";
    ASSERT_TRUE(
        ended(xl({"attach", "7", "usbdevs", device}, crash_at("commit.before", 3)), kKilled));
    EXPECT_TRUE(ended(xl({"attach", "7", "usbdevs", device}), 0));
    ASSERT_TRUE(
        ended(xl({"detach", "7", "usbdevs", "0.1"}, crash_at("commit.before", 3)), kKilled));
    EXPECT_TRUE(ended(xl({"detach", "7", "usbdevs", "0.1"}), 0));
    EXPECT_EQ(domain_.devices(), "ide-5632 xenusb-0");
}

/// What finds an intent open that is not its own.
class OtherTest : public RetryTest {
protected:
    /// `words` is refused: nothing is changed, the other one is named, and there is no number that
    /// could be waited for as this request's own.
    void refused_for(const Words& words, const std::string& number)
    {
        Words all = words;
        all.insert(all.begin(), {"--json", "--timeout", "5"});
        const auto before = state_of(domain_.judge());
        const Ran ran = xl(all);
        EXPECT_TRUE(ended(ran, 1));
        EXPECT_EQ(code(ran), "refused") << ran.out;
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "intent " + number));
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "another request"));
        EXPECT_EQ(json_at(ran.out, "$.error.intent"), "");
        EXPECT_EQ(cell("SELECT group_concat(id) FROM intent"), number);
        EXPECT_EQ(state_of(domain_.judge()), before);
    }
    std::string asked(const std::string& device_class, const std::string& key)
    {
        const Ran ran = xl({"--json", "--timeout", "1", "detach", "7", device_class, key});
        EXPECT_TRUE(ended(ran, 3));
        return json_at(ran.out, "$.error.intent");
    }
};

TEST_F(OtherTest, AttachDuringAWaitingRemovalIsRefused)
{
    const Words attach = {"attach", "7", "usbctrls", usb_controller(1)};
    ASSERT_TRUE(ended(xl(attach), 0));
    const auto number = asked("usbctrls", "1");
    refused_for(attach, number);

    ASSERT_TRUE(contains(qmp(domain_.judge(), "system_reset"), "return"));
    EXPECT_TRUE(ended(xl({"--timeout", "20", "wait", number}), 0));
    EXPECT_TRUE(ended(xl(attach), 0));  // now it is its turn
    EXPECT_TRUE(all_is_settled());
}

TEST_F(OtherTest, BatchDuringAWaitingRemovalIsRefused)
{
    const std::string rng =
        R"({"key":"r","steps":[{"execute":"device_add","arguments":{"driver":"virtio-rng-pci","id":"r"}}]})";
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", rng}), 0));
    const auto number = asked("qemu", "r");
    const std::string requests = R"([{"attach":"qemu","thing":)" + rng + "}]";

    const Ran each = xl({"--json", "--timeout", "5", "batch", "7", requests});
    EXPECT_TRUE(ended(each, 1));
    EXPECT_EQ(json_at(each.out, "$.outcomes[0].error.code"), "refused");
    EXPECT_EQ(json_at(each.out, "$.outcomes[0].error.intent"), "");
    const Ran all = xl({"--json", "--timeout", "5", "batch", "7", requests, "--all-or-none"});
    EXPECT_TRUE(ended(all, 1));
    EXPECT_EQ(json_at(all.out, "$.outcomes[0].error.code"), "refused");
    EXPECT_EQ(cell("SELECT group_concat(id) FROM intent"), number);
}

/// What happens to the store between act and settle.
class SettleTest : public DomainTest {
protected:
    /// A trigger of the test's own.
    void meddle(const std::string& trigger) { execute(store_.path(), trigger); }
    /// In doubt with the number of the intent that is open, and `wait` knows it.
    void in_doubt(const Words& words)
    {
        Words all = words;
        all.insert(all.begin(), {"--json", "--timeout", "10"});
        const Ran ran = xl(all);
        EXPECT_TRUE(ended(ran, 3)) << ran.out << ran.err;
        EXPECT_EQ(code(ran), "in_doubt");
        EXPECT_EQ(json_at(ran.out, "$.error.intent"), cell("SELECT id FROM intent"));
        EXPECT_TRUE(invariant_holds(store_.path(), domain_.judge()));
    }
};

// The process that wrote a plan knows it: what became of the row since decides nothing.
TEST_F(SettleTest, OperationDoesNotReadItsOwnIntentBack)
{
    meddle(
        "DROP TRIGGER r10_intent_update;"
        "CREATE TRIGGER meddling AFTER INSERT ON intent BEGIN "
        "UPDATE intent SET plan = '[1]' WHERE id = new.id; END");
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t")}), 0));
    EXPECT_EQ(cell("SELECT asked FROM history ORDER BY id DESC LIMIT 1"), "device_add");
    EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
    EXPECT_TRUE(invariant_holds(store_.path(), domain_.judge()));
}

TEST_F(SettleTest, CommitThatThrowsIsInDoubt)
{
    meddle(
        "CREATE TRIGGER meddling BEFORE DELETE ON intent BEGIN "
        "SELECT raise(ABORT, 'meddled'); END");
    in_doubt({"insert", "7", "hdc", domain_.image('b')});
    // And so it is when it is given again, with the same number.
    in_doubt({"insert", "7", "hdc", domain_.image('b')});
}

// What breaks at one domain keeps no other from being recovered.
TEST_F(SettleTest, RecoveryGoesOnWithOtherDomains)
{
    const ScratchDomain other(store_, 8, "other");
    for (const auto* domain : {"7", "8"})
        ASSERT_TRUE(ended(xl({"attach", domain, "qemu", tablet("t")}, crash_at("commit.before", 3)),
                          kKilled));
    const auto store = store_.open();
    recovery::Options options;
    bool broken = false;
    std::string unseen;
    options.mode = recovery::Mode::ask;
    options.answer = [&](const recovery::Problem&, const recovery::Subject& subject) {
        if (subject.domid == 7 && subject.intent && !std::exchange(broken, true))
            throw IoError(EIO, "broken by the test");
        return true;
    };
    options.found = [&](const recovery::Finding& finding) {
        if (finding.code == recovery::Code::primary_unseen) unseen = finding.subject;
    };

    const auto report = store->loop().wait_for(recovery::recover(*store, std::move(options)));

    ASSERT_TRUE(report);
    EXPECT_TRUE(broken);
    EXPECT_EQ(report->exit_bits & 8, 8U);
    EXPECT_TRUE(contains(unseen, "domain 7"));
    EXPECT_EQ(cell("SELECT count(*) FROM intent WHERE domain = 2"), "0");
}

/// A QEMU that our own destroy kills under an operation.
class GoneTest : public DomainTest {
protected:
    void ends_as_gone(const Ran& ran)
    {
        EXPECT_TRUE(ended(ran, 1));
        EXPECT_EQ(code(ran), "gone") << ran.out;
    }
    /// The operation stops at that point, the first time that `reached` is true, the domain is
    /// destroyed, and it goes on.
    void destroyed_at(const Words& words, const std::string& point,
                      const std::function<bool()>& reached)
    {
        for (int passing = 1;; ++passing) {
            SCOPED_TRACE(point + ":" + std::to_string(passing));
            Stopping stopping(store_, words, point, passing);
            ASSERT_TRUE(stopping.stopped());
            if (!reached()) {
                stopping.kill();
                EXPECT_LE(fsck({"-p"}).status, 1);
                continue;
            }
            ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));
            ends_as_gone(stopping.finish());
            return;
        }
    }
    bool has_intent() { return cell("SELECT count(*) FROM intent") != "0"; }
};

TEST_F(GoneTest, BeforeItConnects)
{
    destroyed_at({"insert", "7", "hdc", domain_.image('b')}, "qmp.before_connect",
                 [] { return true; });
}

TEST_F(GoneTest, WhileItProbes)
{
    int passings = 0;
    destroyed_at({"attach", "7", "qemu", tablet("t")}, "qmp.before_send",
                 [&] { return ++passings == 2; });
}

TEST_F(GoneTest, OnceItsIntentIsCommitted)
{
    destroyed_at({"attach", "7", "qemu", tablet("t")}, "qmp.before_send",
                 [&] { return has_intent(); });
}

TEST_F(GoneTest, OnceQemuHasActed)
{
    destroyed_at({"eject", "7", "hdc"}, "qmp.after_receive",
                 [&] { return domain_.medium().empty(); });
}

TEST_F(GoneTest, EachRequestOfABatch)
{
    Stopping stopping(
        store_,
        {"batch", "7", R"([{"attach":"qemu","thing":)" + tablet("t") + R"(},{"eject":"hdc"}])"},
        "qmp.before_send", 1);
    ASSERT_TRUE(stopping.stopped());
    ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));
    EXPECT_EQ(code(stopping.finish()), "gone");
}

TEST_F(GoneTest, WhatIsWaitedFor)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "usbctrls", usb_controller(1)}), 0));
    const Ran asked = xl({"--json", "--timeout", "1", "detach", "7", "usbctrls", "1"});
    ASSERT_TRUE(ended(asked, 3));
    const auto number = json_at(asked.out, "$.error.intent");
    ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));
    ends_as_gone(xl({"--json", "wait", number}));
}

/// A destruction that is marked and cannot go on.
/// An entry of xenstore's that another client makes while a command waits, which found none.
class LaterEntryTest : public DomainTest {
protected:
    void put_disk(const std::string& vdev)
    {
        const std::string json =
            R"({"pdev_path":"/a","format":"raw","is_cdrom":1,"removable":1,"backend":"qdisk",)"
            R"("vdev":")" +
            vdev + "\"}";
        xlstore_store* store = nullptr;
        xlstore_fast* fast = nullptr;
        ASSERT_EQ(xlstore_open(store_.path().c_str(), nullptr, &store), XLSTORE_OK);
        ASSERT_EQ(xlstore_fast_lock(store, "domid:7", "test", nullptr, &fast), XLSTORE_OK);
        EXPECT_EQ(xlstore_fast_put_thing(fast, "disks", json.c_str()), XLSTORE_OK);
        xlstore_fast_release(fast);
        xlstore_close(store);
    }
};

TEST_F(LaterEntryTest, IsNotTakenForOneOfQemus)
{
    const std::vector<Words> commands = {{"detach", "7", "disks", "xvdf"}, {"eject", "7", "xvdg"}};
    for (const auto& words : commands) {
        Stopping stopping(store_, words, "qmp.before_connect");
        ASSERT_TRUE(stopping.stopped()) << words[0];
        put_disk(words.back());
        EXPECT_EQ(code(stopping.finish()), "conflict") << words[0];
        EXPECT_EQ(cell("SELECT state FROM thing WHERE key = '" + words.back() + "'"), "present");
        EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0") << words[0];
    }
}

class UnfinishedTest : public DomainTest {};

TEST_F(UnfinishedTest, IsNeverCalledNotDone)
{
    execute(store_.path(),
            "CREATE TRIGGER meddling BEFORE UPDATE ON domain WHEN new.state = 'destroyed' "
            "BEGIN SELECT raise(ABORT, 'meddled'); END");
    for (int i = 0; i < 2; ++i) {  // and not when it is tried again, either
        const Ran ran = xl({"--json", "destroy", "7"});
        EXPECT_TRUE(ended(ran, 3));
        EXPECT_EQ(code(ran), "unfinished") << ran.out;
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.advice"), "goes on"));
        EXPECT_EQ(cell("SELECT state FROM domain"), "destroying");
        EXPECT_FALSE(is_alive(domain_.qemu_pid()));
    }
    execute(store_.path(), "DROP TRIGGER meddling");
    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
}

// Its commit failed before QEMU was touched.
TEST_F(UnfinishedTest, MarkThatFailedIsNotDone)
{
    execute(store_.path(),
            "CREATE TRIGGER meddling BEFORE UPDATE ON domain WHEN new.state = 'destroying' "
            "BEGIN SELECT raise(ABORT, 'meddled'); END");
    refused({"destroy", "7"}, 1, "store", "meddled");
    EXPECT_TRUE(is_alive(domain_.qemu_pid()));
}

/// Where what is printed goes nowhere.
class PipeTest : public DomainTest {
protected:
    /// The command with an output whose reader has gone; `output`: 1 or 2.
    Ran into_nothing(const std::string& program, const Words& words, int output)
    {
        const std::string to = output == 1 ? ">&3" : "2>&3";
        Words all = {"sh", "-c",
                     // A FIFO that is open for writing, and whose reader has gone.
                     "rm -f \"$0\" && mkfifo \"$0\" && { : < \"$0\" & } && exec 3> \"$0\" && wait "
                     "&& exec \"$@\" " +
                         to,
                     store_.directory() / "fifo", binary(program), "--store", store_.path()};
        all.insert(all.end(), words.begin(), words.end());
        return run(all);
    }
};

TEST_F(PipeTest, LogLineThatIsNotReadKillsNoOperation)
{
    EXPECT_TRUE(ended(into_nothing("xlstore", {"-v", "attach", "7", "qemu", tablet("t")}, 2), 0));
    EXPECT_EQ(entry("t"), "present");
    EXPECT_TRUE(ended(into_nothing("xlstore", {"-v", "detach", "7", "qemu", "t"}, 2), 0));
    EXPECT_TRUE(ended(into_nothing("xlfsck", {"-v", "-n"}, 2), 0));
    EXPECT_TRUE(all_is_settled());
}

TEST_F(PipeTest, ResultThatIsNotReadKillsNone)
{
    for (const Words& words :
         {Words{"insert", "7", "hdc", domain_.image('b')}, Words{"destroy", "7"}})
        EXPECT_NE(into_nothing("xlstore", words, 1).status, 128 + SIGPIPE);
    EXPECT_EQ(cell("SELECT state FROM domain"), "destroyed");
    EXPECT_NE(into_nothing("xlfsck", {"-p"}, 1).status, 128 + SIGPIPE);
}

/// `wait` beside a QEMU that is silent.
class WaitTest : public DomainTest {};

TEST_F(WaitTest, LeavesTheSlowLockToOthers)
{
    ASSERT_TRUE(
        ended(xl({"attach", "7", "qemu", tablet("t")}, crash_at("commit.before", 3)), kKilled));
    const auto number = cell("SELECT id FROM intent");
    kill(domain_.qemu_pid(), SIGSTOP);
    Child waiting({binary("xlstore"), "--store", store_.path(), "--timeout", "60", "wait", number});

    // It looks, and each look ends: the lock is free for most of the time.
    const auto store = store_.open();
    const auto id = DomainId(std::stoll(cell("SELECT id FROM domain")));
    int held = 0;
    int free = 0;
    ASSERT_TRUE(wait_until(seconds(60), [&] {
        auto hold = store->try_slow_lock(id, "another");
        EXPECT_TRUE(static_cast<bool>(hold));
        ++(*hold ? free : held);
        return held + free == 1500;
    }));
    EXPECT_GT(held, 0) << "the wait never looked";
    EXPECT_GT(free, 2 * held);

    kill(domain_.qemu_pid(), SIGCONT);
    EXPECT_EQ(waiting.wait(), 0);
    EXPECT_TRUE(invariant_holds(store_.path(), domain_.judge()));
}

}  // namespace
}  // namespace xlstore::test
