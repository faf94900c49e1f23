// SPDX-License-Identifier: MIT
// What is kept has bounds (R20): by age, by number, by command; and what must stay stays.
#include "store/keep/prune.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "store/base/clock.hpp"
#include "store/core/domain.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::kUuid;
using test::soon;

constexpr std::int64_t kDayUs = std::int64_t{24} * 60 * 60 * 1'000'000;

class PruneTest : public testing::Test {
protected:
    PruneTest() : store_(scratch_.open()), db_(store_->db()) {}

    DomainId import(int domid)
    {
        auto made = store_->loop().wait_for(import_domain(
            *store_, domid, test::hvm_document("web", kUuid, "/a"), "document", soon()));
        EXPECT_TRUE(made) << (made ? "" : made.error().message);
        return made->id;
    }
    DomainId destroyed(int domid)
    {
        const auto id = import(domid);
        auto gone = store_->loop().wait_for(destroy_domain(*store_, *read_domain(db_, id), soon()));
        EXPECT_TRUE(gone) << (gone ? "" : gone.error().message);
        return id;
    }
    void retired(int id, int days_ago, bool born)
    {
        db_.execute(
            "INSERT INTO retired_document (id, domid, uuid, name, layout, created_us, born_us, "
            "retired_us, why, json) VALUES (" +
            std::to_string(id) + ", 1, 'u', 'n', 'yajl', 1, " + (born ? "1" : "NULL") + ", " +
            std::to_string(now_us() - days_ago * kDayUs) + ", '', '{\"a\":1}')");
    }
    /// "retired 2 undo 1": what went.
    std::string pruned(PruneOptions options = {})
    {
        const auto done = store_->loop().wait_for(prune(*store_, std::move(options), soon()));
        if (!done) return done.error().message;
        std::string text;
        for (const auto& one : *done)
            if (one.count > 0)
                text += (text.empty() ? "" : " ") + std::string(kept_name(one.kept)) + " " +
                        std::to_string(one.count);
        return text;
    }
    std::int64_t number(const std::string& sql)
    {
        return std::stoll(test::sql(scratch_.path(), sql));
    }
    static PruneOptions all_of(Kept kept)
    {
        PruneOptions options;
        options.what = {kept};
        options.older_than_days = 0;
        return options;
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
    Db& db_;
};

TEST_F(PruneTest, DocumentsGoByAgeAndByNumberAndThoseOfDomainsThatNeverRanGoFirst)
{
    retired(1, 91, true);
    retired(2, 89, true);
    EXPECT_EQ(pruned(), "retired 1");
    EXPECT_EQ(number("SELECT min(id) FROM retired_document"), 2);
    for (int id = 3; id <= 1'001; ++id)
        retired(id, 1, id % 2 == 0);
    EXPECT_EQ(pruned(), "");
    retired(1'002, 0, true);
    retired(1'003, 0, false);
    EXPECT_EQ(pruned(), "retired 2");
    EXPECT_EQ(number("SELECT count(*) FROM retired_document"), 1'000);
    EXPECT_EQ(number("SELECT count(*) FROM retired_document WHERE id IN (2, 1002)"), 2);
    EXPECT_EQ(number("SELECT count(*) FROM retired_document WHERE born_us IS NULL"), 499);
}

TEST_F(PruneTest, WhatGoesIsWrittenDownAndADryRunSaysTheSameAndWritesNothing)
{
    retired(1'000, 100, true);
    destroyed(7);
    db_.execute(
        "INSERT INTO undo_run (id, token, at_us, mode, pid, program) VALUES (1, 't', 1, 'yes', 1, "
        "'x'), (2, 'u', 9000000000000000, 'yes', 1, 'x')");
    db_.execute(
        "INSERT INTO undo_row (run, kind, operation, before) VALUES (1, 'thing', 'delete', '{}'), "
        "(2, 'thing', 'delete', '{}')");
    db_.execute("INSERT INTO set_aside (at_us, what, why, text) VALUES (1, 'a', 'b', 'c')");
    PruneOptions options;
    options.dry_run = true;
    const auto before = test::dump(scratch_.path());
    EXPECT_EQ(pruned(options), "retired 1 undo 2");
    EXPECT_EQ(test::dump(scratch_.path()), before);
    EXPECT_EQ(pruned(), "retired 1 undo 2");
    EXPECT_EQ(number("SELECT group_concat(run) FROM undo_row"), 2);
    EXPECT_EQ(number("SELECT count(*) FROM set_aside"), 0);
    EXPECT_EQ(test::sql(scratch_.path(), "SELECT evidence FROM history ORDER BY id DESC LIMIT 1"),
              "1 retired document (7 bytes), 2 runs and quarantined rows (3 bytes)");
    EXPECT_EQ(pruned(), "");
}

TEST_F(PruneTest, HistoryGoesFromItsBeginningAndByItselfOnlyWithSomeSlack)
{
    db_.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100900) "
        "INSERT INTO history (at_us, operation, outcome, evidence, pid, program) "
        "SELECT i, 'create', 'done', '', 1, 'x' FROM n");
    const auto lines = number("SELECT count(*) FROM history");
    PruneOptions due;
    due.only_when_due = true;
    EXPECT_EQ(pruned(due), "");
    EXPECT_EQ(pruned(), "history " + std::to_string(lines - 100'000));
    EXPECT_EQ(number("SELECT count(*) FROM history"), 100'002);  // the lines that say so (R20)
    EXPECT_EQ(number("SELECT count(*) FROM history WHERE operation = 'prune' AND outcome = 'begun'"), 1);
    EXPECT_EQ(number("SELECT history_pruned_below - (SELECT min(id) FROM history) FROM store"), 0);
    EXPECT_EQ(pruned(due), "");
}

// One that was written while the clock was wrong is old; those before it are not.
TEST_F(PruneTest, ALineOfAWrongClockTakesNoYoungerOneWithIt)
{
    db_.execute("DELETE FROM history");
    const auto add = [&](std::int64_t at_us) {
        db_.prepare(
               "INSERT INTO history (at_us, operation, outcome, evidence, pid, program) VALUES "
               "(?, 'create', 'done', '', 1, 'x')")
            .bind(at_us)
            .run();
    };
    const std::int64_t day = std::int64_t{24} * 60 * 60 * 1'000'000;
    for (const auto at_us : {now_us() - 40 * day, now_us() - 35 * day, now_us(), -day, now_us()})
        add(at_us);
    EXPECT_EQ(pruned(), "") << "1969 is before no bound";
    auto month = all_of(Kept::history);
    month.older_than_days = 30;
    EXPECT_EQ(pruned(month), "history 2");
    EXPECT_EQ(number("SELECT count(*) FROM history WHERE operation = 'create'"), 3);
}

TEST_F(PruneTest, RowOfADomainGoesWithItsDocumentAndItsNumberIsNotGivenAgain)
{
    const auto over = destroyed(7);
    EXPECT_EQ(pruned(all_of(Kept::domains)), "") << "its document is kept";
    PruneOptions both = all_of(Kept::retired);
    both.what.push_back(Kept::domains);
    both.dry_run = true;
    EXPECT_EQ(pruned(both), "retired 1 domains 1");
    {
        const auto late = store_->locks().try_acquire(LockKind::slow, value_of(over));
        ASSERT_TRUE(late && *late);
        both.dry_run = false;
        EXPECT_EQ(pruned(both), "retired 1") << "a process is late with a step on it";
    }
    EXPECT_EQ(pruned(both), "domains 1");
    EXPECT_FALSE(read_domain(db_, over));
    EXPECT_FALSE(find_incarnation(db_, "7"));
    EXPECT_GT(value_of(import(7)), value_of(over));
    EXPECT_EQ(pruned(both), "") << "a domain that lives is kept";
}

TEST_F(PruneTest, DamagedFilesGoByTheDateInTheirNames)
{
    const auto file = [this](const std::string& name) { return scratch_.path() + "/" + name; };
    const std::string stem = "store.db.damaged-";
    for (const auto& name : {stem + "20200102T030405Z", stem + "20200102T030405Z-wal",
                             stem + "20200102T030405Z-2", stem + "29990102T030405Z", stem + "mine",
                             stem + "20200102T030405Z-notes.txt", stem + "20200102T030405Z-2-wal.txt",
                             stem + "2020 1 2T030405Z", stem + "20200102T030405Z.gz"})
        test::write_file(file(name), "0123456789");
    EXPECT_EQ(pruned(), "damaged 3");
    EXPECT_TRUE(std::filesystem::exists(file(stem + "29990102T030405Z")));
    EXPECT_TRUE(std::filesystem::exists(file(stem + "mine")));
    EXPECT_TRUE(std::filesystem::exists(file(stem + "20200102T030405Z-notes.txt")));
}

TEST_F(PruneTest, LockSlotsOfWhatIsOverTakeNoSpaceAndThoseOfWhatLivesStay)
{
    db_.execute(
        "DELETE FROM sqlite_sequence WHERE name = 'domain';"
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('domain', 2000)");
    const auto lives = import(7);
    ASSERT_EQ(value_of(lives), 2'001);
    const auto& slow = store_->locks().file(LockKind::slow);
    const auto& fast = store_->locks().file(LockKind::fast);
    for (std::int64_t slot = 16; slot < 2 * 2'000; ++slot)
        for (const auto* slots : {&slow, &fast})
            slots->write_claim(slot, store_->make_claim("of what is over"));
    ASSERT_TRUE(slow.set_generation(2 * 1'900, 5));
    slow.write_claim(2 * value_of(lives), store_->make_claim("of what lives"));
    ASSERT_TRUE(slow.set_generation(2 * value_of(lives), 5));
    const auto hold = store_->try_slow_lock(lives, "test");
    ASSERT_TRUE(hold && *hold);
    const auto allocated = [&] {
        std::int64_t blocks = 0;
        for (const auto* slots : {&slow, &fast}) {
            struct stat st {};
            EXPECT_EQ(stat(slots->path().c_str(), &st), 0);
            blocks += st.st_blocks;
        }
        return blocks * 512;
    };
    const auto before = allocated();
    ASSERT_GT(before, 1'500'000);
    const auto remembered = store_->locks().remembered().numbers.commits;
    ASSERT_GT(remembered, 0);

    PruneOptions locks;
    locks.what = {Kept::locks};
    locks.only_when_due = true;
    EXPECT_NE(pruned(locks), "");
    EXPECT_LT(allocated(), 100'000);
    EXPECT_GE(store_->locks().remembered().numbers.commits, remembered);
    EXPECT_EQ(slow.generation(2 * value_of(lives)), 5);
    EXPECT_EQ(slow.generation(2 * 1'900), 0);
    EXPECT_FALSE(slow.read_claim(2 * 1'900));
    EXPECT_TRUE(slow.read_claim(2 * value_of(lives)));
    const auto again = store_->try_slow_lock(lives, "test");
    EXPECT_TRUE(again && !*again) << "it is held";
    EXPECT_EQ(pruned(locks), "");
}

}  // namespace
}  // namespace xlstore
