// SPDX-License-Identifier: MIT
// What is written into the log of a commit is written once, and read back as if SQLite had done it.
#include "store/database/gathered_frames.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "store/core/store.hpp"
#include "store/database/db.hpp"
#include "tests/support/rows.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/sqlite_calls.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::soon;

class GatheredFramesTest : public testing::Test {
protected:
    static constexpr int kPage = 4096;
    static constexpr int kFrame = kFrameHeader + kPage;
    static constexpr std::int64_t kFirst = 32;

    static std::string header(bool last)
    {
        std::string text(kFrameHeader, '\0');
        text[7] = last ? 1 : 0;
        return text;
    }
    bool keep(const std::string& what, std::int64_t at)
    {
        EXPECT_TRUE(frames_.follows(static_cast<int>(what.size()), at));
        return frames_.keep(what.data(), static_cast<int>(what.size()), at);
    }
    std::vector<char> memory_ = std::vector<char>(GatheredFrames::kCapacity);
    GatheredFrames frames_{memory_.data()};
    const std::string page_ = std::string(kPage, 'x');
};

TEST_F(GatheredFramesTest, AreKeptUntilTheLastPageOfTheCommit)
{
    frames_.begin();
    EXPECT_FALSE(keep(header(false), kFirst));
    EXPECT_FALSE(keep(page_, kFirst + kFrameHeader));
    EXPECT_FALSE(keep(header(true), kFirst + kFrame));
    EXPECT_TRUE(keep(page_, kFirst + kFrame + kFrameHeader));
    EXPECT_EQ(frames_.at(), kFirst);
    EXPECT_EQ(std::string(frames_.bytes(), static_cast<std::size_t>(frames_.size())),
              header(false) + page_ + header(true) + page_);
    frames_.written();
    EXPECT_TRUE(frames_.empty());
}

TEST_F(GatheredFramesTest, WhatDoesNotFollowIsNotKept)
{
    EXPECT_FALSE(GatheredFrames().follows(kFrameHeader, kFirst)) << "without memory";
    EXPECT_FALSE(frames_.follows(kPage, kFirst)) << "a page without its header";
    keep(header(false), kFirst);
    EXPECT_FALSE(frames_.follows(kFrameHeader, kFirst + kFrame)) << "a header without its page";
    EXPECT_FALSE(frames_.follows(kPage - kFrameHeader, kFirst + kFrameHeader)) << "half a page";
    keep(page_, kFirst + kFrameHeader);
    EXPECT_FALSE(frames_.follows(kFrameHeader, kFirst)) << "a header that is written once more";
    EXPECT_FALSE(frames_.follows(kFrameHeader, kFirst + 2 * kFrame)) << "behind a gap";
    EXPECT_TRUE(frames_.overlaps(1, kFirst));
    EXPECT_TRUE(frames_.overlaps(kFrame, kFirst + kFrame - 1));
    EXPECT_FALSE(frames_.overlaps(kFrame, kFirst + kFrame));
    EXPECT_FALSE(frames_.overlaps(kFirst, 0));
    frames_.begin();
    EXPECT_TRUE(frames_.empty()) << "of a transaction that is over nothing is kept";
    EXPECT_TRUE(frames_.follows(kFrameHeader, kFirst + 2 * kFrame));
}

TEST_F(GatheredFramesTest, AFrameIsKeptWholeOrNotAtAll)
{
    std::int64_t at = kFirst;
    while (frames_.follows(kFrameHeader, at)) {
        keep(header(false), at);
        keep(page_, at + kFrameHeader);
        at += kFrame;
    }
    EXPECT_GT(frames_.size(), 10 * kFrame);
    EXPECT_EQ(frames_.size() % kFrame, 0);
    frames_.written();
    EXPECT_TRUE(frames_.follows(kFrameHeader, at)) << "there is room again";
}

class GatheredLogTest : public testing::Test {
protected:
    class Counting : public test::SqliteObserver {
    public:
        bool may(test::SqliteCall call, const std::string& path) override
        {
            const bool of_log = call == test::SqliteCall::write && path.ends_with("-wal");
            if (of_log) ++writes;
            return !of_log || !failing;
        }
        int writes = 0;
        bool failing = false;
    };

    Result<void> write(const std::string& sql)
    {
        return store_->loop().wait_for(
            store_->with_writer_lock("test", soon(), [&](const WriterHold&) -> Result<void> {
                store_->db().execute(sql);
                return {};
            }));
    }
    [[nodiscard]] std::string ask(const char* sql) const { return test::sql(scratch_.path(), sql); }

    /// So many rows of `bytes` each; they are told apart by `letter`.
    static std::string rows(int count, int bytes, char letter)
    {
        return "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
               std::to_string(count) +
               ") INSERT INTO set_aside (at_us, what, why, text) SELECT i, 'row', '" +
               std::string(1, letter) + "', printf('%.*c', " + std::to_string(bytes) + ", '" +
               std::string(1, letter) + "') FROM n;";
    }

    Counting counting_;
    test::Watching watching_{counting_};
    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_ = scratch_.open();
};

TEST_F(GatheredLogTest, ACommitIsOneWrite)
{
    ASSERT_TRUE(write(rows(1, 10, 'a')));
    counting_.writes = 0;
    ASSERT_TRUE(write(rows(10, 3'000, 'b')));
    EXPECT_EQ(counting_.writes, 1);
    EXPECT_EQ(ask("SELECT count(*) || '|' || sum(length(text)) FROM set_aside"), "11|30010");
}

// A transaction that does not fit into SQLite's memory writes its pages early, reads them back, and
// writes some of them twice, in the place where they are.
TEST_F(GatheredLogTest, ATransactionReadsBackWhatItWroteEarly)
{
    store_->db().execute("PRAGMA cache_size = 4");
    ASSERT_TRUE(
        write(rows(300, 2'000, 'a') + "UPDATE set_aside SET why = 'seen' WHERE at_us % 7 = 0;" +
              "SAVEPOINT s;" + rows(200, 2'000, 'b') +
              "UPDATE set_aside SET text = 'gone' WHERE at_us % 3 = 0; ROLLBACK TO s;" +
              "UPDATE set_aside SET why = why || length(text) WHERE at_us % 5 = 0;" +
              rows(100, 2'000, 'c')));
    const char* all =
        "SELECT count(*) || '|' || sum(length(text)) || '|' || sum(why = 'seen') || '|' || "
        "sum(why = 'seen2000') || '|' || sum(why = 'a2000') || '|' || sum(why = 'c') "
        "FROM set_aside";
    EXPECT_EQ(ask(all), "400|800000|34|8|52|100");
    EXPECT_EQ(ask("PRAGMA integrity_check"), "ok");
    EXPECT_TRUE(write("DELETE FROM set_aside WHERE at_us % 2 = 0;"));
    store_.reset();
    EXPECT_EQ(ask("PRAGMA integrity_check"), "ok");
    EXPECT_EQ(ask("SELECT count(*) FROM set_aside"), "200");
}

TEST_F(GatheredLogTest, WhatCannotBeWrittenIsNotCommitted)
{
    ASSERT_TRUE(write(rows(1, 10, 'a')));
    counting_.failing = true;
    EXPECT_THROW((void)write(rows(10, 3'000, 'b')), DbError);
    counting_.failing = false;
    EXPECT_EQ(ask("SELECT count(*) FROM set_aside"), "1");
    ASSERT_TRUE(write(rows(2, 3'000, 'c')));
    EXPECT_EQ(ask("SELECT count(*) || '|' || max(why) FROM set_aside"), "3|c");
    EXPECT_EQ(ask("PRAGMA integrity_check"), "ok");
}

// Also where the pages that could not be written were written early.
TEST_F(GatheredLogTest, WhatCouldNotBeWrittenIsNotReadBack)
{
    store_->db().execute("PRAGMA cache_size = 4");
    ASSERT_TRUE(write(rows(1, 10, 'a')));
    counting_.failing = true;
    EXPECT_THROW((void)write(rows(100, 2'000, 'b') + "UPDATE set_aside SET why = 'twice';"),
                 DbError);
    counting_.failing = false;
    EXPECT_EQ(ask("SELECT count(*) || '|' || max(why) FROM set_aside"), "1|a");
    ASSERT_TRUE(write(rows(100, 2'000, 'c')));
    EXPECT_EQ(ask("SELECT count(*) || '|' || sum(length(text)) FROM set_aside"), "101|200010");
    EXPECT_EQ(ask("PRAGMA integrity_check"), "ok");
}

}  // namespace
}  // namespace xlstore
