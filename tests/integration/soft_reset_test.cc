// SPDX-License-Identifier: MIT
// A soft reset with real QEMUs: the document outlives its QEMU, in spite of what happens on the way.
#include <signal.h>

#include <algorithm>
#include <filesystem>

#include "store/lifecycle/creation.hpp"
#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

class SoftResetTest : public DomainTest {
protected:
    /// With a QEMU whose drive is empty: what the document has must be put into it.
    Ran soft_reset(const Environment& environment = {})
    {
        Words command = domain_.material().qemu();
        std::replace_if(
            command.begin(), command.end(),
            [](const std::string& word) { return word.starts_with("if=none,"); },
            "if=none,readonly=on,id=ide-5632");
        return soft_reset_with(command, environment);
    }
    Ran soft_reset_with(const Words& command, const Environment& environment = {})
    {
        Words words = {"--json", "soft-reset", domain_.word(), "--"};
        words.insert(words.end(), command.begin(), command.end());
        return xl(words, environment);
    }
    std::string document() { return xl({"export", domain_.word()}).out; }
    std::vector<pid_t> qemus() { return qemus_with(store_.directory().path() + "/"); }
};

TEST_F(SoftResetTest, GivesANewQemuWhatTheDocumentHas)
{
    ASSERT_TRUE(ended(xl({"insert", "7", "hdc", domain_.image('b')}), 0));
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));
    const auto before = document();
    const auto socket = cell("SELECT monitor_path FROM domain");

    const Ran ran = soft_reset();

    EXPECT_TRUE(ended(ran, 0));
    EXPECT_FALSE(is_alive(domain_.qemu_pid()));
    EXPECT_EQ(qemus(), std::vector<pid_t>(1, std::stoi(json_at(ran.out, "$.qemu_pid"))));
    EXPECT_EQ(document(), before);
    EXPECT_EQ(cell("SELECT count(*) || state FROM domain"), "1running");
    EXPECT_TRUE(contains(domain_.devices(), "t1"));
    EXPECT_TRUE(contains(domain_.medium(), domain_.image('b')));
    EXPECT_TRUE(all_is_settled());
    // R14: a client that is late with the old QEMU's socket does not find the new one's.
    EXPECT_FALSE(std::filesystem::exists(socket));
    EXPECT_NE(cell("SELECT monitor_path FROM domain"), socket);
    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
    EXPECT_TRUE(qemus().empty());
}

TEST_F(SoftResetTest, SettlesWhatWasOpenByTheOldQemusDeath)
{
    for (int passing = 1; !contains(domain_.devices(), "t1"); ++passing)
        ASSERT_TRUE(
            ended(xl({"attach", "7", "qemu", tablet("t1")}, crash_at("qmp.after_send", passing)),
                  kKilled));
    ASSERT_EQ(cell("SELECT count(*) FROM intent"), "1");

    EXPECT_TRUE(ended(soft_reset(), 0));

    EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
    EXPECT_EQ(entry("t1"), "");
    EXPECT_FALSE(contains(domain_.devices(), "t1"));
    EXPECT_TRUE(all_is_settled());
}

// Before the old one is killed.
TEST_F(SoftResetTest, ProgramThatIsNotThereLeavesTheOldQemu)
{
    const auto before = state_of(domain_.judge());
    const auto rows = dump(store_.path());
    for (const std::string& program :
         {std::string("/no/such/program"), domain_.material().document}) {
        SCOPED_TRACE(program);
        const Ran ran = soft_reset_with(Words{program});
        EXPECT_TRUE(ended(ran, 1));
        EXPECT_EQ(code(ran), "refused");
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.advice"), "nothing was changed"));
        EXPECT_TRUE(is_alive(domain_.qemu_pid()));
    }
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_EQ(state_of(domain_.judge()), before);
}

TEST_F(SoftResetTest, QemuThatCannotBeStartedLeavesTheDocument)
{
    const auto before = document();
    for (const Words& command : {Words{"false"}, Words{"qemu-system-x86_64", "-nonsense"}}) {
        SCOPED_TRACE(command.back());
        const Ran ran = soft_reset_with(command);
        EXPECT_TRUE(ended(ran, 1));
        EXPECT_EQ(code(ran), "refused");
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.advice"), "document is kept"));
        EXPECT_EQ(document(), before);
        EXPECT_EQ(cell("SELECT state || coalesce(qemu_pid, '') FROM domain"), "running");
        EXPECT_TRUE(qemus().empty());
        EXPECT_TRUE(ended(fsck({"-n"}), 0));
    }
    EXPECT_TRUE(ended(soft_reset(), 0));
    EXPECT_TRUE(all_is_settled());
}

// R18: its old QEMU is gone, so that no code may say that nothing was changed.
TEST_F(SoftResetTest, NewOneThatDoesNotAnswerInTimeIsUnfinishedAndGoesOn)
{
    const auto before = document();
    for (const Words& command :
         {Words{"sh", "-c", "exec sleep 600"}, Words{"sh", "-c", "sleep 600 & sleep 600"}}) {
        SCOPED_TRACE(command.back());
        Words words = {"--json", "--timeout", "1", "soft-reset", domain_.word(), "--"};
        words.insert(words.end(), command.begin(), command.end());
        const Ran ran = xl(words);
        EXPECT_TRUE(ended(ran, 3));
        EXPECT_EQ(code(ran), "unfinished");
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "has no QEMU now"));
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.advice"), "'xlstore soft-reset' again"));
        EXPECT_EQ(cell("SELECT state || coalesce(qemu_pid, '') FROM domain"), "running");
        EXPECT_EQ(document(), before);
        EXPECT_TRUE(qemus().empty());
    }
    EXPECT_TRUE(ended(soft_reset(), 0));
    EXPECT_TRUE(all_is_settled());
}

// The signal cannot be called back, whether QEMU is seen dead or not.
TEST_F(SoftResetTest, OldOneThatWasKilledAndIsNotSeenDeadInTimeIsUnfinished)
{
    auto store = store_.open();
    const auto begin_again = [&](Deadline until) {
        return store->loop().wait_for(
            Creation::begin_again(*store, *find_domain(store->db(), "7"), until));
    };
    auto begun = begin_again(Clock::now());
    // It may have died between the signal and the look: once more with another one.
    for (int i = 0; begun && i < 20; ++i) {
        begun = Error(Errc::gone, "the next");
        ASSERT_TRUE(ended(soft_reset(), 0));
        begun = begin_again(Clock::now());
    }
    ASSERT_FALSE(begun);
    EXPECT_EQ(begun.error().code, Errc::unfinished) << begun.error().message;
    EXPECT_TRUE(contains(begun.error().message, "its old QEMU")) << begun.error().message;
    EXPECT_FALSE(contains(begun.error().advice, "destroy")) << begun.error().advice;
    // As the advice has it.
    EXPECT_TRUE(ended(soft_reset(), 0));
    EXPECT_TRUE(all_is_settled());
}

TEST_F(SoftResetTest, StartsOneForADomainWhoseQemuDied)
{
    kill(domain_.qemu_pid(), SIGKILL);
    ASSERT_TRUE(
        wait_until(std::chrono::seconds(10), [&] { return !is_alive(domain_.qemu_pid()); }));

    EXPECT_TRUE(ended(soft_reset(), 0));

    EXPECT_TRUE(all_is_settled());
}

TEST_F(SoftResetTest, NoCommandIsRefusedAndNothingIsChanged)
{
    const auto rows = dump(store_.path());
    const Ran ran = xl({"soft-reset", domain_.word()});
    EXPECT_TRUE(ended(ran, 2));
    EXPECT_TRUE(contains(ran.err, "soft-reset: no command was given that starts QEMU"));
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_TRUE(is_alive(domain_.qemu_pid()));
}

const std::string kUsbctrl1 = R"({"devid":1,"type":"devicemodel","version":2,"ports":6})";

// The tablet was made after the controller whose bus it names; "qemu" comes before "usbctrls".
TEST_F(SoftResetTest, PutsThingsBackInTheOrderInWhichTheyWereMade)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "usbctrls", kUsbctrl1}), 0));
    ASSERT_TRUE(ended(
        xl({"attach", "7", "qemu", device_plan("tab", "usb-tablet", R"(,"bus":"xenusb-1.0")")}),
        0));

    const Ran ran = soft_reset();

    EXPECT_TRUE(ended(ran, 0));
    EXPECT_EQ(json_at(ran.out, "$.notes[0]"), "");
    EXPECT_EQ(entry("tab"), "present");
    EXPECT_TRUE(contains(domain_.devices(), "tab"));
    EXPECT_TRUE(all_is_settled());
}

// Back ends are named by an id, not by a bus.
TEST_F(SoftResetTest, PutsAThingBackAfterWhatItStandsOnInEachOrder)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", chardev("con")}), 0));
    ASSERT_TRUE(ended(
        xl({"attach", "7", "qemu", device_plan("serial", "pci-serial", R"(,"chardev":"con")")}),
        0));
    ASSERT_EQ(cell("SELECT count(*) FROM thing WHERE class = 'qemu'"), "2");
    const auto turn = [&](const std::string& key, int made) {
        store_.open()->db().execute("UPDATE thing SET made = " + std::to_string(made) +
                                    " WHERE key = '" + key + "'");
    };
    turn("serial", 1);
    turn("con", 2);

    const Ran ran = soft_reset();

    EXPECT_TRUE(ended(ran, 0));
    EXPECT_EQ(json_at(ran.out, "$.notes[0]"), "");
    EXPECT_EQ(entry("serial"), "present");
    EXPECT_TRUE(all_is_settled());
}

TEST_F(SoftResetTest, PutsPciDevicesBackIntoTheSlotsThatQemuHadChosen)
{
    for (const auto& [device_class, thing] :
         {std::pair(std::string("usbctrls"), kUsbctrl1),
          {std::string("qemu"), device_plan("z", "virtio-rng-pci")},
          {std::string("qemu"), device_plan("a", "virtio-rng-pci")},
          {std::string("usbdevs"),
           std::string(R"({"ctrl":1,"port":3,"type.emulated":{"driver":"usb-tablet"}})")}})
        ASSERT_TRUE(ended(xl({"attach", "7", device_class, thing}), 0));
    const auto places = places_of(domain_.judge());
    ASSERT_TRUE(contains(places, "a=pci.0/"));
    ASSERT_TRUE(contains(places, "xenusb-emulated-1-3=xenusb-1.0/3"));

    const Ran ran = soft_reset();

    EXPECT_TRUE(ended(ran, 0));
    EXPECT_EQ(json_at(ran.out, "$.notes[0]"), "");
    EXPECT_EQ(places_of(domain_.judge()), places);
    EXPECT_TRUE(all_is_settled());
    EXPECT_TRUE(ended(soft_reset(), 0)) << "and once more";
    EXPECT_EQ(places_of(domain_.judge()), places);
}

// What was between is gone: the order alone would put the second one into the first one's port.
TEST_F(SoftResetTest, PutsUsbDevicesBackIntoTheirPorts)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t2")}), 0));
    ASSERT_TRUE(ended(xl({"detach", "7", "qemu", "t1"}), 0));
    const auto places = places_of(domain_.judge());
    ASSERT_TRUE(contains(places, "t2=xenusb-0.0/2"));

    EXPECT_TRUE(ended(soft_reset(), 0));

    EXPECT_EQ(places_of(domain_.judge()), places);
    EXPECT_EQ(cell("SELECT address FROM thing WHERE key = 't2'"),
              R"({"t2":{"bus":"xenusb-0.0","port":"2"}})");
    EXPECT_TRUE(all_is_settled());
}

TEST_F(SoftResetTest, AnAddressThatIsTakenIsSaidAndNotReplacedByAnother)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", device_plan("rng", "virtio-rng-pci")}), 0));
    const auto address = cell("SELECT address FROM thing WHERE key = 'rng'");
    Words command = domain_.material().qemu();
    command.insert(command.end(), {"-device", "virtio-rng-pci,addr=" +
                                                  json_at(address, "$.rng.addr").substr(0, 2)});

    const Ran ran = soft_reset_with(command);

    EXPECT_TRUE(ended(ran, 0));
    for (const char* said : {"qemu/rng", "not available", "bus pci.0, addr", "attach it"})
        EXPECT_TRUE(contains(json_at(ran.out, "$.notes[0]"), said));
    EXPECT_EQ(entry("rng"), "stale");
    EXPECT_FALSE(contains(domain_.devices(), "rng "));
    EXPECT_EQ(cell("SELECT address FROM thing WHERE key = 'rng'"), address);
    EXPECT_TRUE(all_is_settled());
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", device_plan("rng", "virtio-rng-pci")}), 0));
    EXPECT_NE(cell("SELECT address FROM thing WHERE key = 'rng'"), address);
}

// A row of release 0.1, or one of an external QMP client: QEMU is asked before it is ended.
TEST_F(SoftResetTest, AsksForAddressesThatAreNotKnownBeforeTheQemuGoes)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t2")}), 0));
    ASSERT_TRUE(ended(xl({"detach", "7", "qemu", "t1"}), 0));
    const auto places = places_of(domain_.judge());
    store_.open()->db().execute("UPDATE thing SET address = NULL");

    EXPECT_TRUE(ended(soft_reset(), 0));

    EXPECT_EQ(places_of(domain_.judge()), places);
    EXPECT_TRUE(all_is_settled());
}

TEST_F(SoftResetTest, AStaleEntryThatIsAddedAgainIsTheLastThatWasMade)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t2")}), 0));
    ASSERT_TRUE(contains(qmp(domain_.judge(), "device_del", R"({"id":"t1"})"), "return"));
    ASSERT_TRUE(ended(fsck({"-p"}), 1));
    ASSERT_EQ(entry("t1"), "stale");
    const auto order = [&] {
        return cell(
            "SELECT group_concat(key) FROM (SELECT key FROM things_as_made WHERE class = 'qemu')");
    };
    ASSERT_EQ(order(), "t1,t2");
    // An add that fails leaves it where it was.
    ASSERT_TRUE(
        ended(xl({"attach", "7", "qemu", device_plan("t1", "usb-tablet", R"(,"bus":"no.0")")}), 1));
    EXPECT_EQ(order(), "t1,t2");

    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));

    EXPECT_EQ(order(), "t2,t1");
    EXPECT_TRUE(all_is_settled());
}

// Nothing of an entry that was found says how it is made: never called present without a look.
TEST_F(SoftResetTest, WhatWasFoundAndCannotBeMadeIsStaleAndNamed)
{
    ASSERT_TRUE(contains(qmp(domain_.judge(), "chardev-add",
                             R"({"id":"found","backend":{"type":"null","data":{}}})"),
                         "return"));
    ASSERT_TRUE(ended(fsck({"-p"}), 1));
    ASSERT_EQ(cell("SELECT count(*) FROM thing WHERE key LIKE '%found%'"), "1");

    const Ran ran = soft_reset();

    EXPECT_TRUE(ended(ran, 0));
    EXPECT_TRUE(contains(json_at(ran.out, "$.notes[0]"), "found"));
    EXPECT_EQ(cell("SELECT state FROM thing WHERE key LIKE '%found%'"), "stale");
    EXPECT_TRUE(all_is_settled());
}

TEST_F(SoftResetTest, PutsVcpusBackIntoTheirSlots)
{
    ScratchDomain other(store_, 8, "other", {"-smp", "1,maxcpus=3"});
    ASSERT_TRUE(ended(xl({"attach", "8", "vcpus", R"({"index":2})"}), 0));
    Words words = {"--json", "soft-reset", "8", "--"};
    const Words command = other.material().qemu();
    words.insert(words.end(), command.begin(), command.end());
    words.insert(words.end(), {"-smp", "1,maxcpus=3"});

    const Ran ran = xl(words);

    EXPECT_TRUE(ended(ran, 0));
    EXPECT_TRUE(contains(other.devices(), "cpu-2"));
    EXPECT_TRUE(store_and_qemu_agree(store_.path(), other.judge()));
}

class SoftResetCrashTest : public SoftResetTest, public testing::WithParamInterface<const char*> {};

TEST_P(SoftResetCrashTest, LeavesTheDocumentAndNoQemuWithoutARow)
{
    ASSERT_TRUE(ended(xl({"insert", "7", "hdc", domain_.image('b')}), 0));
    const auto before = document();
    for (int passing = 1;; ++passing) {
        SCOPED_TRACE(std::string(GetParam()) + ":" + std::to_string(passing));
        const Ran ran = soft_reset(crash_at(GetParam(), passing));
        if (ran.status == 0) {
            EXPECT_GT(passing, 1);
            break;
        }
        ASSERT_TRUE(ended(ran, kKilled));
        EXPECT_EQ(document(), before);
        const Ran preened = fsck({"-p"});
        EXPECT_TRUE(preened.status <= 1) << preened.out << preened.err;
        EXPECT_TRUE(ended(fsck({"-n"}), 0));
        EXPECT_EQ(document(), before);
        EXPECT_EQ(cell("SELECT group_concat(state) FROM domain"), "running");
        EXPECT_TRUE(wait_until(std::chrono::seconds(10), [&] {
            return processes_with(store_.directory().path() + "/").size() == qemus().size();
        }));
        const auto pid = cell("SELECT coalesce(qemu_pid, '') FROM domain");
        ASSERT_EQ(qemus().size(), pid.empty() ? 0U : 1U);
        if (!pid.empty()) {
            EXPECT_EQ(std::to_string(qemus().front()), pid);
            EXPECT_TRUE(store_and_qemu_agree(store_.path(), domain_.judge()));
        }
    }
    EXPECT_TRUE(all_is_settled());
    EXPECT_EQ(document(), before);
}
INSTANTIATE_TEST_SUITE_P(Points, SoftResetCrashTest,
                         testing::Values("commit.before", "commit.after", "destroy.before_kill",
                                         "destroy.after_kill", "destroy.before_unlink",
                                         "destroy.after_unlink", "spawn.before_fork",
                                         "spawn.after_fork", "spawn.before_start_barrier",
                                         "spawn.after_start_barrier"),
                         [](const auto& one) {
                             std::string name = one.param;
                             return name.replace(name.find('.'), 1, "_");
                         });

}  // namespace
}  // namespace xlstore::test
