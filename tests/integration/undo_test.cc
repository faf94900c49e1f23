// SPDX-License-Identifier: MIT
// What a run of xlfsck takes away or rewrites is kept and can be put back (R22).
#include <signal.h>

#include "recovery/runs/recover.hpp"
#include "store/operation/edit.hpp"
#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

class UndoTest : public DomainTest {
protected:
    void by_hand(const std::string& statements)
    {
        ASSERT_TRUE(ended(run({"sqlite3", store_.path() + "/store.db", statements}), 0));
    }
    /// A NIC's text and the document's name as no library writes them; what they were is in
    /// `damaged_`, what a repair makes of them in `repaired_`.
    void damage_and_repair()
    {
        by_hand("UPDATE thing SET json = '{\"devid\": 0, \"x\": \"lost?\"}' WHERE class = 'nics'");
        by_hand(
            "UPDATE document_member SET text = replace(text, '\"web\"', '\"other\"') "
            "WHERE key = 'c_info'");
        damaged_ = texts();
        ASSERT_TRUE(ended(fsck({"-y"}), 1));
        repaired_ = texts();
        ASSERT_NE(repaired_, damaged_);
    }
    std::string texts()
    {
        return cell("SELECT json FROM thing WHERE class = 'nics'") + "\n" +
               cell("SELECT text FROM document_member WHERE key = 'c_info'");
    }
    std::string damaged_, repaired_;
};

TEST_F(UndoTest, PutsBackEachTextThatARunRewrote)
{
    damage_and_repair();
    const Ran listed = xl({"undo"});
    EXPECT_TRUE(ended(listed, 0));
    EXPECT_TRUE(contains(listed.out, "xlfsck"));
    EXPECT_TRUE(contains(listed.out, "yes"));
    const auto rows = dump(store_.path());
    const Ran shown = xl({"undo", "1", "--dry-run"});
    EXPECT_TRUE(ended(shown, 0));
    EXPECT_TRUE(contains(shown.out, "domain 7 (web): entry nics/0"));
    EXPECT_TRUE(contains(shown.out, "lost?"));
    EXPECT_TRUE(contains(shown.out, "run 1: 2 rows would be put back, 0 rows kept to be read"));
    EXPECT_EQ(dump(store_.path()), rows);

    const Ran undone = xl({"--json", "undo", "1"});
    EXPECT_TRUE(ended(undone, 0));
    EXPECT_EQ(json_at(undone.out, "$.put_back"), "2");
    EXPECT_EQ(texts(), damaged_);
    EXPECT_TRUE(contains(xl({"history", "web"}).out, "run 1: 2 rows were put back"));
    // What was put back is not put back twice, and is found and repaired again.
    EXPECT_TRUE(contains(xl({"undo", "1"}).out, "run 1: 0 rows put back"));
    EXPECT_TRUE(ended(fsck({"-y"}), 1));
    EXPECT_EQ(texts(), repaired_);
    EXPECT_EQ(cell("SELECT count(*) FROM undo_run"), "2");
    EXPECT_TRUE(all_is_settled());
}

// The list calls by the name under which it is put back what can be put back, and nothing else.
TEST_F(UndoTest, ListsByItsNameWhatIsPutBackAndTheRestAsToBeRead)
{
    const auto row = [](const std::string& what, const std::string& text) {
        return "INSERT INTO set_aside (at_us, what, why, text) VALUES (0, '" + what + "', 'w', '" + text + "');";
    };
    by_hand(row("row of thing", R"({"domain":1,"class":"disks","key":"xvdz","json":"{\"vdev\":\"xvdz\"}","primary_at":"xenstore"})") +
            row("row of thing", R"({"domain":1,"class":"disks","key":"hdc","json":"{}","primary_at":"qemu"})") +
            row("row of thing", R"({"domain":77,"class":"disks","key":"hdc","json":"{}","primary_at":"qemu"})") +
            row("row of thing", "no row") + row("member c_info", "{}"));
    const Ran listed = xl({"undo"});
    EXPECT_TRUE(contains(listed.out, "aside:1"));
    for (const std::string number : {"2", "3", "4", "5"}) {
        SCOPED_TRACE(number);
        EXPECT_EQ(listed.out.find("aside:" + number), std::string::npos);
        EXPECT_TRUE(contains(listed.out, "(to be read: set_aside " + number + ")"));
        EXPECT_FALSE(ended(xl({"undo", "aside:" + number}), 0));
    }
    EXPECT_TRUE(ended(xl({"undo", "aside:1"}), 0));
    EXPECT_EQ(cell("SELECT state FROM thing WHERE key = 'xvdz'"), "stale");
}

// A run waits for a QEMU that is stopped; meanwhile the same handle edits the domain.
TEST_F(UndoTest, WhatOtherOperationsChangeMeanwhileIsNoneOfARuns)
{
    by_hand("UPDATE thing SET json = '{\"devid\": 0, \"x\": \"lost?\"}' WHERE class = 'nics'");
    const std::string damaged = texts();
    auto store = store_.open();
    const auto domain = *find_domain(store->db(), "7");
    kill(domain_.qemu_pid(), SIGSTOP);
    recovery::Options options;
    options.mode = recovery::Mode::yes;
    auto run = recovery::recover(*store, std::move(options));
    run.start();
    const auto repaired = [&] { return texts() != damaged; };
    for (const auto until = Clock::now() + std::chrono::seconds(30);
         Clock::now() < until && !repaired();)
        store->loop().dispatch();
    ASSERT_TRUE(repaired());
    ASSERT_FALSE(run.done());
    const auto edited = store->loop().wait_for(store->with_fast_lock(
        domain.id, "edit", Clock::now() + std::chrono::seconds(30),
        [&](const FastHold& fast) -> Result<void> {
            if (auto begun = begin_edit(*store, fast, 0); !begun) return begun.error();
            return put_thing(*store, fast, "nics", R"({"devid":5,"mac":"00:16:3e:00:00:05"})");
        }));
    ASSERT_TRUE(edited);
    const auto edited_again = store->loop().wait_for(store->with_fast_lock(
        domain.id, "edit", Clock::now() + std::chrono::seconds(30),
        [&](const FastHold& fast) -> Result<void> {
            if (auto begun = begin_edit(*store, fast, 0); !begun) return begun.error();
            return put_thing(*store, fast, "nics", R"({"devid":5,"mac":"00:16:3e:00:00:06"})");
        }));
    ASSERT_TRUE(edited_again);
    kill(domain_.qemu_pid(), SIGCONT);
    while (!run.done())
        store->loop().dispatch();
    ASSERT_TRUE(run.take());

    // The domain has changed since that run, by another hand.
    refused({"undo", "1"}, 1, "refused", "run 1 left it at");
    const Ran undone = xl({"undo", "1", "--force"});
    EXPECT_TRUE(ended(undone, 0));
    EXPECT_TRUE(contains(undone.out, "run 1: 1 row put back")) << undone.out;
    EXPECT_TRUE(contains(texts(), "lost?"));
    EXPECT_TRUE(
        contains(cell("SELECT json FROM thing WHERE class = 'nics' AND key = '5'"), "00:00:06"));
}

TEST_F(UndoTest, IsRefusedByNameWhereTheDomainHasChangedSince)
{
    damage_and_repair();
    const auto left_at = cell("SELECT epoch || ', revision ' || revision FROM domain");
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("tab")}), 0));
    refused({"undo", "1"}, 1, "refused", "run 1 left it at epoch " + left_at);
    EXPECT_EQ(texts(), repaired_);
    EXPECT_TRUE(contains(xl({"undo", "1", "--dry-run"}).out, "has changed since"));

    ASSERT_TRUE(ended(xl({"undo", "1", "--force"}), 0));
    EXPECT_EQ(texts(), damaged_);
    EXPECT_EQ(entry("tab"), "present");
}

TEST_F(UndoTest, ForceLeavesWhatIsNoLongerAsTheRunLeftIt)
{
    damage_and_repair();
    by_hand(
        "UPDATE thing SET json = '{\"devid\":0,\"mac\":\"00:16:3e:00:00:01\"}' WHERE class = 'nics'");
    // By its generation nothing has moved on: the row itself says so.
    refused({"undo", "1"}, 1, "refused", "entry nics/0 is no longer as that run left it");
    const Ran undone = xl({"undo", "1", "--force"});
    EXPECT_TRUE(ended(undone, 0));
    EXPECT_TRUE(contains(undone.out, "run 1: 1 row put back, 1 row kept to be read"));
    EXPECT_TRUE(contains(texts(), "00:16:3e:00:00:01"));
    EXPECT_TRUE(contains(texts(), "\"other\""));
}

TEST_F(UndoTest, WhatQemuDecidesIsKeptToBeReadAndNotPutBack)
{
    ASSERT_TRUE(
        ended(xl({"attach", "7", "qemu", tablet("tab")}, crash_at("commit.after", 2)), kKilled));
    ASSERT_TRUE(contains(
        qmp(domain_.judge(), "blockdev-change-medium",
            R"({"id":"ide-5632","filename":")" + domain_.image('b') + R"(","format":"raw"})"),
        "return"));
    ASSERT_TRUE(ended(fsck({"-p"}), 1));
    const auto rows = dump(store_.path());
    const Ran shown = xl({"undo", "1", "--dry-run"});
    EXPECT_TRUE(ended(shown, 0));
    EXPECT_TRUE(contains(shown.out, "a closed intent is not opened again"));
    EXPECT_TRUE(contains(shown.out, "device_add"));  // its plan
    EXPECT_TRUE(contains(shown.out, "its medium is what QEMU showed"));
    EXPECT_TRUE(contains(shown.out, domain_.image('a')));
    EXPECT_TRUE(contains(shown.out, "run 1: 0 rows would be put back"));
    EXPECT_TRUE(ended(xl({"undo", "1"}), 0));
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_TRUE(all_is_settled());
}

TEST_F(UndoTest, ARunThatTakesNothingAwayLeavesNothing)
{
    ASSERT_TRUE(ended(fsck({"-n"}), 0));
    ASSERT_TRUE(ended(fsck({"-y"}), 0));
    ASSERT_TRUE(ended(xl({"recover"}), 0));
    EXPECT_EQ(cell("SELECT count(*) FROM undo_run"), "0");
    EXPECT_EQ(cell("SELECT count(*) FROM undo_mark"), "0");
    const Ran none = xl({"undo", "1"});
    EXPECT_TRUE(ended(none, 4));
    EXPECT_TRUE(contains(none.err, "'xlstore undo' lists"));
}

TEST_F(UndoTest, ATriggerThatIsNotTheStoresIsKeptAsText)
{
    by_hand("CREATE TRIGGER theirs AFTER INSERT ON history BEGIN SELECT 'it''s mine'; END");
    ASSERT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_EQ(cell("SELECT count(*) FROM sqlite_schema WHERE name = 'theirs'"), "0");
    const Ran shown = xl({"undo", "1", "--dry-run"});
    EXPECT_TRUE(ended(shown, 0));
    EXPECT_TRUE(contains(shown.out, "it''s mine"));
    EXPECT_TRUE(contains(shown.out, "SQL from the store is not run"));
}

// R22 in each commit: a change and its record are there together, or neither is.
TEST_F(UndoTest, AKilledRunHasKeptWhatItChanged)
{
    for (int passing = 1;; ++passing) {
        SCOPED_TRACE(passing);
        by_hand("UPDATE thing SET json = '{\"devid\": 0, \"x\": 1}' WHERE class = 'nics'");
        const auto damaged = texts();
        const auto before = std::stoi(cell("SELECT count(*) FROM undo_row"));
        const Ran ran = xlfsck(store_.path(), {"-y"}, crash_at("commit.after", passing));
        const bool changed = texts() != damaged;
        EXPECT_EQ(std::stoi(cell("SELECT count(*) FROM undo_row")) - before, changed ? 1 : 0);
        if (ran.status != kKilled) {
            EXPECT_TRUE(changed);
            EXPECT_GT(passing, 2);
            break;
        }
    }
}

}  // namespace
}  // namespace xlstore::test
