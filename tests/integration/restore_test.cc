// SPDX-License-Identifier: MIT
// A backup put back under living QEMUs: they are asked and nothing else (R19), and no number means
// two things afterwards (R17).
#include "recovery/runs/restore.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

namespace fs = std::filesystem;

class RestoreTest : public testing::Test {
protected:
    Ran xl(const Words& words) { return xlstore(store_.path(), words); }
    [[nodiscard]] std::string cell(const std::string& query) const
    {
        return sql(store_.path(), query);
    }
    void take_backup() { ASSERT_TRUE(ended(xl({"backup", backup()}), 0)); }
    [[nodiscard]] std::string backup() const { return store_.directory() / "backup.db"; }
    ScratchStore store_;
};

TEST_F(RestoreTest, OverALivingQemuItIsRefusedAndNamesIt)
{
    const ScratchDomain web(store_, 7, "web");
    take_backup();
    const ScratchDomain mail(store_, 8, "mail");
    const auto before = dump(store_.path());
    const auto refused = xl({"restore", backup()});
    EXPECT_TRUE(ended(refused, 1));
    for (const pid_t pid : {web.qemu_pid(), mail.qemu_pid()})
        EXPECT_TRUE(contains(refused.err, std::to_string(pid)));
    EXPECT_TRUE(contains(refused.err, "--adopt"));
    EXPECT_EQ(dump(store_.path()), before);
}

TEST_F(RestoreTest, WhatAQemuHasIsAdoptedAndWhatItHasNotIsStale)
{
    const ScratchDomain web(store_, 7, "web");
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("old")}), 0));
    take_backup();
    ASSERT_TRUE(ended(xl({"detach", "7", "qemu", "old"}), 0));
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("new")}), 0));
    ASSERT_TRUE(ended(xl({"insert", "7", "hdc", web.image('b')}), 0));
    const auto before = state_of(web.judge());
    const auto epoch = std::stoll(cell("SELECT epoch FROM domain WHERE domid = 7"));

    const auto done = xl({"--json", "restore", "--adopt", backup()});

    EXPECT_TRUE(ended(done, 0)) << done.out;
    EXPECT_EQ(state_of(web.judge()), before);  // R19
    EXPECT_TRUE(contains(json_at(done.out, "$.domains[0].qemu"), std::to_string(web.qemu_pid())));
    EXPECT_TRUE(store_and_qemu_agree(store_.path(), web.judge()));
    EXPECT_EQ(cell("SELECT state FROM thing WHERE key = 'old'"), "stale");
    EXPECT_EQ(cell("SELECT state FROM thing WHERE key = 'new'"), "present");
    EXPECT_EQ(web.medium(), web.image('b'));
    EXPECT_GT(std::stoll(cell("SELECT epoch FROM domain WHERE domid = 7")), epoch);
    EXPECT_EQ(cell("SELECT count(*) FROM history WHERE operation = 'restore'"), "1");
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "new"}), 0));
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}), 0));
}

// What the intent had done when the backup was taken is undone by nothing: QEMU has it still.
TEST_F(RestoreTest, IntentOfTheBackupSendsNothing)
{
    const ScratchDomain web(store_, 7, "web");
    ASSERT_TRUE(ended(xlstore(store_.path(), {"attach", "7", "qemu", tablet("t1")},
                              crash_at("commit.before", 3)),
                      kKilled));
    ASSERT_EQ(cell("SELECT count(*) FROM intent"), "1");
    take_backup();
    ASSERT_TRUE(ended(xl({"recover"}), 0));
    const auto before = state_of(web.judge());
    const auto done = xl({"restore", "--adopt", backup()});
    EXPECT_TRUE(ended(done, 0)) << done.out << done.err;
    EXPECT_EQ(state_of(web.judge()), before);
    EXPECT_TRUE(invariant_holds(store_.path(), web.judge()));
    EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
}

// The QEMU of a domain that was created after the backup is named, and lives.
TEST_F(RestoreTest, QemuThatTheBackupDoesNotKnowIsLeftAlone)
{
    take_backup();
    const ScratchDomain web(store_, 7, "web");
    const auto monitor = cell("SELECT monitor_path FROM domain WHERE domid = 7");
    const auto socket = file_identity(monitor);
    const auto done = xl({"restore", "--adopt", backup()});
    EXPECT_TRUE(contains(done.out, std::to_string(web.qemu_pid()))) << done.out << done.err;
    EXPECT_TRUE(is_alive(web.qemu_pid()));
    EXPECT_EQ(file_identity(monitor), socket);
    const ScratchDomain mail(store_, 8, "mail");
    EXPECT_NE(cell("SELECT monitor_path FROM domain WHERE domid = 8"), monitor);
    EXPECT_TRUE(is_alive(web.qemu_pid()));
}

TEST_F(RestoreTest, DomainThatDiedSinceIsUnregisteredAndKeepsItsDocument)
{
    {
        const ScratchDomain web(store_, 7, "web");
        take_backup();
        kill(web.qemu_pid(), SIGKILL);
        ASSERT_TRUE(wait_until(std::chrono::seconds(20), [&] { return !is_alive(web.qemu_pid()); }));
    }
    const auto done = xl({"restore", backup()});
    EXPECT_TRUE(ended(done, 0)) << done.out << done.err;
    EXPECT_TRUE(contains(done.out, "domain 7 (web): no QEMU"));
    EXPECT_TRUE(contains(xl({"export", "7"}).out, "hdc"));
}

}  // namespace
}  // namespace xlstore::test
