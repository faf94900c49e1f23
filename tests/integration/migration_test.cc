// SPDX-License-Identifier: MIT
// A domain moves: two stores, two real QEMUs of one uuid, and the state of the one goes to the
// other over a Unix socket. The invariant holds in both stores after each step, and after a kill in
// each step.
#include <algorithm>
#include <filesystem>
#include <functional>

#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

using std::chrono::seconds;

class MigrationTest : public DomainTest {
protected:
    MigrationTest()
    {
        // What is not initial: the other image, and a controller that libxl could add.
        EXPECT_TRUE(ended(xl({"insert", "7", "hdc", domain_.image('b')}), 0));
        EXPECT_TRUE(ended(xl({"attach", "7", "usbctrls",
                              R"({"devid": 1, "type": "devicemodel", "version": 2, "ports": 6})"}),
                          0));
        EXPECT_TRUE(
            ended(xl({"attach", "7", "usbdevs",
                      R"({"ctrl": 1, "port": 2, "type.emulated": {"driver": "usb-tablet"}})"}),
                  0));
    }
    Ran xl_target(const Words& words, const Environment& environment = {})
    {
        return xlstore(target_.path(), words, environment);
    }
    std::string target_cell(const std::string& query) { return sql(target_.path(), query); }
    Words target_qemu() const
    {
        Words command = qemu_command(domain_.image('a'), target_judge_);
        std::replace_if(
            command.begin(), command.end(),
            [](const std::string& word) { return word.starts_with("if=none,"); },
            "if=none,readonly=on,id=ide-5632");  // empty: filled as the document says
        command.insert(command.end(), {"-incoming", "defer"});
        return command;
    }
    Words create_words_of_target() const
    {
        Words words = {"create", "3", document_, "--"};
        const Words command = target_qemu();
        words.insert(words.end(), command.begin(), command.end());
        return words;
    }
    Ran export_settled(const std::string& name)
    {
        Ran exported = xl({"export", "7", "--settled", "--name", name});
        write_file(document_, exported.out);
        return exported;
    }
    std::string revision() { return json_at(xl({"--json", "show", "domid:7"}).out, "$.revision"); }
    /// What the toolstack does over a monitor of its own.
    void send_state(const std::string& to)
    {
        const std::string uri = R"({"uri": "unix:)" + target_.directory() / "stream" + R"("})";
        EXPECT_TRUE(contains(qmp(to, "migrate-incoming", uri), "return"));
        EXPECT_TRUE(contains(qmp(domain_.judge(), "migrate", uri), "return"));
        for (const auto& side : {domain_.judge(), to})
            EXPECT_TRUE(wait_until(seconds(60), [&] {
                return json_at(qmp(side, "query-migrate"), "$.return.status") == "completed";
            })) << qmp(side, "query-migrate");
    }
    /// Both stores, against those of their QEMUs that live.
    void expect_invariant()
    {
        for (const auto& [store, judge] :
             {std::pair(store_.path(), domain_.judge()), std::pair(target_.path(), target_judge_)})
            if (!qemus_with(judge).empty()) {
                EXPECT_TRUE(invariant_holds(store, judge));
            }
    }
    bool both_are_settled()
    {
        expect_invariant();
        const Ran here = fsck({"-n"});
        const Ran there = xlfsck(target_.path(), {"-n"});
        EXPECT_TRUE(ended(here, 0));
        EXPECT_TRUE(ended(there, 0));
        return here.status == 0 && there.status == 0;
    }

    const ScratchStore target_;
    const std::string target_judge_ = target_.directory() / "judge";
    const std::string document_ = target_.directory() / "document";
    const std::string things_ = target_.directory() / "things";
};

/// Where a verb of the move is killed; nothing: nowhere.
struct Kill {
    const char* step;
    const char* point;
    int passing;
};

class MoveTest : public MigrationTest, public testing::WithParamInterface<Kill> {
protected:
    /// Runs one step. If this is the one that is killed: recovery looks, and `again` tells whether
    /// it has to be done once more.
    void step(const std::string& name, const std::string& store, const Words& words,
              const std::function<bool()>& again)
    {
        SCOPED_TRACE(name);
        const Kill kill = GetParam();
        if (name == kill.step) {
            ASSERT_TRUE(ended(xlstore(store, words, crash_at(kill.point, kill.passing)), kKilled));
            // Let go, it comes up by itself; its own monitor is the last that it makes.
            if (std::string(kill.point) == "spawn.after_start_barrier") {
                ASSERT_TRUE(wait_until(
                    seconds(60), [&] { return std::filesystem::exists(store + "/run/qmp-1"); }));
            }
            expect_invariant();
            const Ran preened = xlfsck(store, {"-p"});
            EXPECT_LE(preened.status, 1) << preened.out << preened.err;
            ASSERT_TRUE(both_are_settled());
        }
        if (name != kill.step || again()) {
            ASSERT_TRUE(ended(xlstore(store, words), 0));
        }
        ASSERT_TRUE(both_are_settled());
    }
};

TEST_P(MoveTest, KeepsTheInvariantInBothStores)
{
    const auto seen = revision();
    const auto devices = domain_.devices();
    const auto before = xl({"export", "7"}).out;
    const Ran exported = export_settled("web--incoming");
    ASSERT_TRUE(ended(exported, 0));
    EXPECT_EQ(exported.err, "");

    step("create", target_.path(), create_words_of_target(), [&] {
        // Recovery may have finished it, without what was not attached yet: begun anew.
        if (target_cell("SELECT count(*) FROM domains") != "0") {
            EXPECT_TRUE(ended(xl_target({"destroy", "3"}), 0));
        }
        return true;
    });
    EXPECT_EQ(devices_of(target_judge_), devices);
    EXPECT_EQ(medium_of(target_judge_), domain_.image('b'));
    send_state(target_judge_);
    EXPECT_EQ(devices_of(target_judge_), devices);
    ASSERT_TRUE(both_are_settled());

    step("rename away", store_.path(),
         {"rename", "domid:7", "web--migratedaway", "--revision", seen},
         [&] { return cell("SELECT name FROM domains") == "web"; });
    step("rename in", target_.path(), {"rename", "domid:3", "web"}, [] { return true; });
    step("destroy", store_.path(), {"destroy", "domid:7"},
         [&] { return cell("SELECT count(*) FROM domains") == "1"; });

    EXPECT_EQ(cell("SELECT count(*) FROM domains"), "0");
    EXPECT_FALSE(is_alive(domain_.qemu_pid()));
    EXPECT_EQ(xlstore(target_.path(), {"export", "web"}).out, before);
    EXPECT_TRUE(store_and_qemu_agree(target_.path(), target_judge_));
    EXPECT_TRUE(ended(xl_target({"eject", "web", "hdc"}), 0));
    EXPECT_EQ(medium_of(target_judge_), "");
}
INSTANTIATE_TEST_SUITE_P(
    Kills, MoveTest,
    testing::Values(Kill{"", "", 0}, Kill{"create", "spawn.before_start_barrier", 1},
                    Kill{"create", "spawn.after_start_barrier", 1},
                    Kill{"create", "commit.after", 6}, Kill{"create", "qmp.after_send", 20},
                    Kill{"rename away", "commit.before", 2}, Kill{"rename away", "commit.after", 2},
                    Kill{"rename in", "commit.before", 2}, Kill{"rename in", "commit.after", 2},
                    Kill{"destroy", "commit.after", 2}, Kill{"destroy", "destroy.after_kill", 1},
                    Kill{"destroy", "destroy.after_unlink", 2}),
    [](const auto& one) {
        std::string name = std::string(one.param.step) + "_" + one.param.point;
        for (char& c : name)
            if (c == ' ' || c == '.') c = '_';
        return one.param.passing == 0 ? "None" : name + "_" + std::to_string(one.param.passing);
    });

// What no document can say: things of class qemu, the order in which they were made, and where QEMU
// put them. The stream names slots: without them the load fails and the target dies.
TEST_F(MigrationTest, CarriesOrderAddressesAndWhatNoDocumentHolds)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", device_plan("rng", "virtio-rng-pci")}), 0));
    ASSERT_TRUE(ended(xl({"attach", "7", "usbctrls",
                          R"({"devid": 2, "type": "devicemodel", "version": 1, "ports": 2})"}),
                      0));
    ASSERT_TRUE(ended(
        xl({"attach", "7", "qemu", device_plan("one", "usb-kbd", R"(,"bus":"xenusb-1.0")")}), 0));
    ASSERT_TRUE(ended(
        xl({"attach", "7", "qemu", device_plan("two", "usb-mouse", R"(,"bus":"xenusb-1.0")")}), 0));
    ASSERT_TRUE(ended(xl({"detach", "7", "qemu", "one"}), 0));
    const auto places = places_of(domain_.judge());
    ASSERT_TRUE(ended(xl({"close", "7", "--reason", "moves to the target"}), 0));
    refused({"eject", "7", "hdc"}, 1, "refused", "moves to the target");

    const Ran exported =
        xl({"export", "7", "--settled", "--name", "web--incoming", "--things", things_});
    ASSERT_TRUE(ended(exported, 0));
    EXPECT_EQ(exported.err, "");
    write_file(document_, exported.out);
    Words words = create_words_of_target();
    words.insert(words.begin() + 3, {"--things", things_});
    const Ran created = xl_target(words);
    ASSERT_TRUE(ended(created, 0));
    EXPECT_EQ(created.err, "");

    EXPECT_EQ(places_of(target_judge_), places);
    EXPECT_EQ(devices_of(target_judge_), domain_.devices());
    send_state(target_judge_);
    EXPECT_TRUE(contains(qmp(target_judge_, "cont"), "return"));
    EXPECT_EQ(json_at(qmp(target_judge_, "query-status"), "$.return.status"), "running");
    EXPECT_TRUE(both_are_settled());
    const std::string order =
        "SELECT group_concat(class || key) FROM (SELECT class, key FROM things_as_made WHERE "
        "state = 'present' AND class IN ('qemu', 'usbctrls', 'usbdevs'))";
    EXPECT_EQ(target_cell(order), cell(order));
    // The name may change while it is closed: that is how a migration ends.
    EXPECT_TRUE(ended(xl({"rename", "7", "web--migratedaway"}), 0));
    EXPECT_TRUE(ended(xl({"destroy", "domid:7"}), 0));
    EXPECT_TRUE(ended(xl_target({"detach", "domid:3", "qemu", "two"}), 0));
}

TEST_F(MigrationTest, ThingsThatDoNotFitTheDocumentAreRefused)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("tab")}), 0));
    const Ran exported = xl({"export", "7", "--settled", "--things", things_});
    ASSERT_TRUE(ended(exported, 0));
    EXPECT_EQ(exported.out, xl({"export", "7"}).out) << "the document is libxl's, byte for byte";
    write_file(document_, exported.out);
    const std::string good = read_file(things_);
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string text = good;
        text.replace(text.find(from), from.size(), to);
        return text;
    };
    for (const auto& [text, said] : {std::pair(with("things 1", "things 9"), "format"),
                                     {with("\"uuid\": \"", "\"uuid\": \"x"), "uuid"},
                                     {with("\"qemu\"", "\"nonsense\""), "class"},
                                     {with("\"usbctrls\"", "\"usbdevs\""), "document"},
                                     {with("\"port\"", "\"drive\""), "drive"},
                                     {std::string("{"), "things"}}) {
        SCOPED_TRACE(said);
        write_file(things_, text);
        Words words = create_words_of_target();
        words.insert(words.begin() + 3, {"--things", things_});
        words.insert(words.begin(), "--json");
        const Ran ran = xl_target(words);
        EXPECT_TRUE(ended(ran, 1));
        EXPECT_EQ(code(ran), "invalid");
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), said));
    }
    EXPECT_EQ(target_cell("SELECT count(*) FROM domain"), "0");
    write_file(things_, good);
    EXPECT_TRUE(ended(xl_target({"import", "3", document_, "--things", things_}), 0));
    EXPECT_EQ(target_cell("SELECT address FROM thing WHERE key = 'tab'"),
              cell("SELECT address FROM thing WHERE key = 'tab'"));
}

// In one store, as 'xl migrate localhost' does it: two rows of one uuid.
TEST_F(MigrationTest, WithinOneStore)
{
    ASSERT_TRUE(ended(export_settled("web--incoming"), 0));
    ASSERT_TRUE(ended(xl(create_words_of_target()), 0));
    send_state(target_judge_);
    EXPECT_TRUE(contains(xl({"show", "uuid:" + domain_.material().uuid}).err, "several"));
    ASSERT_TRUE(ended(xl({"rename", "web", "web--migratedaway"}), 0));
    ASSERT_TRUE(ended(xl({"rename", "web--incoming", "web"}), 0));
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    for (const auto& judge : {domain_.judge(), target_judge_})
        EXPECT_TRUE(invariant_holds(store_.path(), judge));

    ASSERT_TRUE(ended(xl({"destroy", "7", "--uuid", domain_.material().uuid}), 0));

    EXPECT_FALSE(is_alive(domain_.qemu_pid()));
    EXPECT_EQ(cell("SELECT domid FROM domains"), "3");
    EXPECT_TRUE(store_and_qemu_agree(store_.path(), target_judge_));
}

// It fails: the domain goes on where it was, under its own name.
TEST_F(MigrationTest, GoesBackWhenTheTargetIsLost)
{
    ASSERT_TRUE(ended(export_settled("web--incoming"), 0));
    ASSERT_TRUE(ended(xl_target(create_words_of_target()), 0));
    ASSERT_TRUE(ended(xl({"rename", "web", "web--migratedaway"}), 0));

    ASSERT_TRUE(ended(xl_target({"destroy", "web--incoming"}), 0));
    ASSERT_TRUE(ended(xl({"rename", "web--migratedaway", "web"}), 0));

    EXPECT_TRUE(both_are_settled());
    EXPECT_TRUE(ended(xl({"eject", "web", "hdc"}), 0));
    EXPECT_EQ(domain_.medium(), "");
}

// A hotplug between export and hand-over is found out.
TEST_F(MigrationTest, ADocumentThatChangedSinceIsNotHandedOver)
{
    const auto seen = revision();
    ASSERT_TRUE(ended(export_settled("web--incoming"), 0));
    ASSERT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));

    refused({"rename", "7", "web--migratedaway", "--revision", seen}, 1, "conflict", seen);
}

TEST_F(MigrationTest, ExportSettledSaysWhatADocumentCannotHold)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("tab")}), 0));

    const Ran exported = export_settled("web--incoming");

    EXPECT_TRUE(ended(exported, 0));
    EXPECT_TRUE(contains(exported.err, "qemu/tab"));
    EXPECT_EQ(json_at(exported.out, "$.c_info.name"), "web--incoming");
    EXPECT_EQ(xl({"export", "7", "--settled"}).out, xl({"export", "7"}).out);
    EXPECT_TRUE(ended(xl({"export", "7", "--name", "web"}), 2));
    refused({"export", "7", "--settled", "--name", "\xff"}, 1, "invalid", "UTF-8");
}

TEST_F(MigrationTest, ExportSettledIsRefusedWhileAnIntentIsOpen)
{
    ASSERT_TRUE(ended(xl({"eject", "7", "hdc"}, crash_at("commit.after", 2)), kKilled));
    const auto intent = cell("SELECT id FROM intent");
    ASSERT_NE(intent, "");

    refused({"export", "7", "--settled"}, 1, "busy", "intent");

    EXPECT_EQ(json_at(xl({"--json", "export", "7", "--settled"}).out, "$.error.intent"), intent);
    ASSERT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_TRUE(ended(xl({"export", "7", "--settled"}), 0));
}

// A stale entry might be attached there, and the two QEMUs would differ.
TEST_F(MigrationTest, ExportSettledLeavesStaleEntriesOut)
{
    const Material other(store_.directory(), 8, "other");
    std::string text = read_file(other.document);
    text.insert(
        text.find("    \"on_reboot\""),
        R"(    "usbdevs": [{"ctrl": 9, "port": 1, "type.emulated": {"driver": "usb-tablet"}}],
)");
    write_file(other.document, text);
    ASSERT_TRUE(ended(xl(create_words(8, other, other.qemu())), 0));
    ASSERT_EQ(cell("SELECT class FROM stale_things"), "usbdevs");

    const Ran settled = xl({"export", "8", "--settled"});

    EXPECT_TRUE(ended(settled, 0));
    EXPECT_EQ(json_at(settled.out, "$.usbdevs"), "");
    EXPECT_EQ(json_at(settled.out, "$.disks[1].vdev"), "hdc");
    EXPECT_EQ(json_at(xl({"export", "8"}).out, "$.usbdevs[0].ctrl"), "9");
}

// It is gone, or not there yet.
TEST_F(MigrationTest, ExportSettledNeedsARunningQemu)
{
    const Material other(store_.directory(), 8, "other");
    ASSERT_TRUE(ended(xl({"import", "8", other.document}), 0));
    refused({"export", "8", "--settled"}, 1, "no_qemu", "other");
    ASSERT_TRUE(ended(xl({"destroy", "7"}, crash_at("destroy.before_kill")), kKilled));
    refused({"export", "7", "--settled"}, 1, "gone", "R8");
}

}  // namespace
}  // namespace xlstore::test
