// SPDX-License-Identifier: MIT
// R17 and R19 with a real QEMU: what was under way in a state that came back is found out by looking.
// QEMU has gone on since, and what an intent or a creation of that state would undo or plug in is by
// now another's, or gone by wish.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/scratch.hpp"
#include "tests/support/stopping.hpp"

namespace xlstore::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPair =
    R"({"key":"pair","steps":[)"
    R"({"execute":"device_add","arguments":{"driver":"usb-tablet","id":"tab","bus":"xenusb-0.0"}},)"
    R"({"execute":"device_add","arguments":{"driver":"usb-kbd","id":"kbd","bus":"xenusb-0.0"}}]})";
constexpr const char* kOne =
    R"({"key":"one","steps":[)"
    R"({"execute":"device_add","arguments":{"driver":"usb-tablet","id":"tab","bus":"xenusb-0.0"}}]})";

// What is sent before it: a greeting's answer with a look, and the first device_add. What is received is
// no measure, since events come between.
constexpr int kSecondAdd = 3;

class OlderStateTest : public testing::Test {
protected:
    Ran xl(const Words& words, const Environment& environment = {})
    {
        return xlstore(store_.path(), words, environment);
    }
    [[nodiscard]] std::string cell(const std::string& query) const
    {
        return sql(store_.path(), query);
    }
    [[nodiscard]] std::string backup() const { return store_.directory() / "backup.db"; }
    void take_backup() { ASSERT_TRUE(ended(xl({"backup", backup()}), 0)); }
    // As a person does who copies the files back.
    void put_back() const
    {
        const auto database = store_.path() + "/store.db";
        for (const char* suffix : {"-wal", "-shm"})
            fs::remove(database + suffix);
        fs::copy_file(backup(), database, fs::copy_options::overwrite_existing);
        fs::permissions(database, fs::perms::owner_read | fs::perms::owner_write);
    }
    // An intent whose first step alone was done is in the backup. Since then it was undone, and an
    // attach that was brought to its end has made the same device.
    void half_done_in_the_backup()
    {
        ASSERT_TRUE(ended(
            xl({"attach", "7", "qemu", kPair}, crash_at("qmp.before_send", kSecondAdd)), kKilled));
        take_backup();
        ASSERT_TRUE(ended(xl({"recover"}), 0));
        ASSERT_TRUE(ended(xl({"attach", "7", "qemu", kOne}), 0));
    }
    // What was done after the backup; what QEMU has then.
    std::string goes_on(const Material& material)
    {
        EXPECT_TRUE(ended(xl({"recover"}), 0));
        EXPECT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));
        EXPECT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
        return state_of(material.judge);
    }
    [[nodiscard]] std::string sql_of_backup(const std::string& query) const
    {
        Db db(backup(), Db::Mode::read_only);
        auto row = db.prepare(query.c_str());
        return row.step() ? row.text(0) : "";
    }
    // Nothing is left for the next runs to do, and QEMU is as it was.
    void stays(const std::string& judge, const std::string& before)
    {
        EXPECT_EQ(state_of(judge), before);
        EXPECT_TRUE(invariant_holds(store_.path(), judge));
        EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
        EXPECT_TRUE(ended(xl({"recover"}), 0));
        EXPECT_TRUE(ended(xlfsck(store_.path(), {"-y"}), 0));
        EXPECT_EQ(state_of(judge), before);
        EXPECT_TRUE(store_and_qemu_agree(store_.path(), judge));
    }
    ScratchStore store_;
};

TEST_F(OlderStateTest, HalfDoneIntentOfFilesPutBackTakesNothingOut)
{
    const ScratchDomain web(store_, 7, "web");
    half_done_in_the_backup();
    const auto before = state_of(web.judge());
    put_back();
    const auto settled = xlfsck(store_.path(), {"-y"});
    EXPECT_TRUE(ended(settled, 1)) << settled.out << settled.err;
    EXPECT_FALSE(contains(settled.out, "UNDONE"));
    stays(web.judge(), before);
    EXPECT_EQ(cell("SELECT count(*) FROM thing WHERE key = 'tab' AND state = 'present'"), "1");
}

TEST_F(OlderStateTest, HalfDoneIntentOfABackupIsClosedByRestore)
{
    const ScratchDomain web(store_, 7, "web");
    half_done_in_the_backup();
    const auto before = state_of(web.judge());
    const auto done = xl({"restore", "--adopt", backup()});
    EXPECT_TRUE(ended(done, 0)) << done.out << done.err;
    stays(web.judge(), before);
    EXPECT_EQ(cell("SELECT outcome FROM history WHERE key = 'pair' ORDER BY id DESC LIMIT 1"),
              "not done");
}

// Not by recovery alone: a person waits for it, or asks for the same again.
TEST_F(OlderStateTest, WaitAndAttachCloseItByLookingToo)
{
    const ScratchDomain web(store_, 7, "web");
    for (const auto& words : {Words{"wait", ""}, Words{"attach", "7", "qemu", kPair}}) {
        ASSERT_TRUE(ended(
            xl({"attach", "7", "qemu", kPair}, crash_at("qmp.before_send", kSecondAdd)), kKilled));
        ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));
        store_.open()->db().prepare("UPDATE intent SET older_state = 1").run();
        const auto before = state_of(web.judge());
        auto given = words;
        if (given[0] == "wait") given[1] = cell("SELECT id FROM intent");
        EXPECT_TRUE(ended(xl(given), 1)) << given[0];
        EXPECT_EQ(state_of(web.judge()), before) << given[0];
        EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0") << given[0];
        EXPECT_TRUE(store_and_qemu_agree(store_.path(), web.judge())) << given[0];
        for (const char* key : {"tab", "t1"})
            ASSERT_TRUE(ended(xl({"detach", "7", "qemu", key}), 0));
    }
}

// The guest has been asked, in that state, to let go of what has been attached again since.
TEST_F(OlderStateTest, RemovalOfThatStateIsNotGoneOnWith)
{
    const ScratchDomain web(store_, 7, "web");
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));
    ASSERT_TRUE(ended(xl({"detach", "7", "qemu", "t1"}, crash_at("commit.after", 1)), kKilled));
    take_backup();
    ASSERT_TRUE(ended(xl({"recover"}), 0));
    const auto before = state_of(web.judge());
    ASSERT_TRUE(ended(xl({"restore", "--adopt", backup()}), 0));
    stays(web.judge(), before);
    EXPECT_EQ(cell("SELECT state FROM thing WHERE key = 't1'"), "present");
}

TEST_F(OlderStateTest, ThirdMediumClosesAChangeAndIsAdopted)
{
    const ScratchDomain web(store_, 7, "web");
    const auto third = store_.directory() / "c.iso";
    fs::copy_file(web.image('a'), third);
    ASSERT_TRUE(
        ended(xl({"insert", "7", "hdc", web.image('b')}, crash_at("commit.after", 2)), kKilled));
    ASSERT_EQ(cell("SELECT count(*) FROM intent"), "1");
    take_backup();
    ASSERT_TRUE(ended(xl({"recover"}), 0));
    ASSERT_TRUE(ended(xl({"insert", "7", "hdc", third}), 0));
    const auto before = state_of(web.judge());
    const auto done = xl({"restore", "--adopt", backup()});
    EXPECT_TRUE(ended(done, 0)) << done.out << done.err;
    stays(web.judge(), before);
    EXPECT_TRUE(contains(xl({"export", "7"}).out, third));
    EXPECT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
}

// The same without any going back: another program has changed the medium meanwhile.
TEST_F(OlderStateTest, ThirdMediumOfAnotherProgramLocksNoDrive)
{
    const ScratchDomain web(store_, 7, "web");
    const auto third = store_.directory() / "c.iso";
    fs::copy_file(web.image('a'), third);
    const auto change = [&] {
        EXPECT_TRUE(ended(
            xl({"insert", "7", "hdc", web.image('b')}, crash_at("commit.after", 2)), kKilled));
        ASSERT_TRUE(contains(qmp(web.judge(), "blockdev-change-medium",
                                 R"({"id":"ide-5632","filename":")" + third +
                                     R"(","format":"raw"})"),
                             "return"));
    };
    change();
    EXPECT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
    EXPECT_EQ(web.medium(), "");
    change();
    EXPECT_TRUE(ended(xl({"recover"}), 0));
    EXPECT_EQ(web.medium(), third);
    EXPECT_TRUE(store_and_qemu_agree(store_.path(), web.judge()));
}

// Since the backup the creation was finished, a device attached, and the CD taken out.
TEST_F(OlderStateTest, CreationOfABackupIsRegisteredByRestore)
{
    const Material material(store_.directory(), 7, "web");
    ASSERT_TRUE(
        ended(xl(create_words(7, material, material.qemu()), crash_at("spawn.after_start_barrier")),
              kKilled));
    take_backup();
    const auto before = goes_on(material);
    const auto done = xl({"restore", "--adopt", backup()});
    EXPECT_TRUE(ended(done, 0)) << done.out << done.err;
    EXPECT_EQ(cell("SELECT state FROM domain"), "running");
    stays(material.judge, before);
}

TEST_F(OlderStateTest, CreationOfFilesPutBackIsRegisteredByLooking)
{
    const Material material(store_.directory(), 7, "web");
    ASSERT_TRUE(
        ended(xl(create_words(7, material, material.qemu()), crash_at("spawn.after_start_barrier")),
              kKilled));
    take_backup();
    const auto before = goes_on(material);
    put_back();
    const auto settled = xlfsck(store_.path(), {"-y"});
    EXPECT_TRUE(ended(settled, 1)) << settled.out << settled.err;
    EXPECT_TRUE(contains(settled.out, "REGISTERED"));
    stays(material.judge, before);
    EXPECT_EQ(cell("SELECT count(*) FROM domain"), "1");
}

// Without a pid in its row: the QEMU that has the socket of this incarnation is its own.
TEST_F(OlderStateTest, CreationWithoutAPidKeepsItsRowAndDocument)
{
    const Material material(store_.directory(), 7, "web");
    Stopping creator(store_, create_words(7, material, material.qemu()), "spawn.before_fork");
    ASSERT_TRUE(creator.stopped());
    take_backup();
    ASSERT_TRUE(ended(creator.finish(), 0));
    ASSERT_EQ(sql_of_backup("SELECT state || (qemu_pid IS NULL) FROM domain"), "creating1");
    const auto document = xl({"export", "7"}).out;
    for (const bool by_restore : {true, false}) {
        const auto before = state_of(material.judge);
        if (!by_restore) put_back();
        const auto done = by_restore ? xl({"restore", "--adopt", backup()})
                                     : xlfsck(store_.path(), {"-y"});
        EXPECT_TRUE(ended(done, by_restore ? 0 : 1)) << done.out << done.err;
        EXPECT_EQ(cell("SELECT id || state FROM domain"), "1running");
        EXPECT_EQ(xl({"export", "7"}).out, document);
        stays(material.judge, before);
    }
}

// Of such a row whose QEMU is not there, nothing ever ran, or it is dead.
TEST_F(OlderStateTest, CreationWithoutAQemuIsRetired)
{
    const Material material(store_.directory(), 7, "web");
    Stopping creator(store_, create_words(7, material, material.qemu()), "spawn.before_fork");
    ASSERT_TRUE(creator.stopped());
    take_backup();
    creator.kill();
    ASSERT_TRUE(ended(xl({"recover"}), 0));
    put_back();
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-p"}), 1));
    EXPECT_EQ(cell("SELECT state FROM domain"), "destroyed");
}

}  // namespace
}  // namespace xlstore::test
