// SPDX-License-Identifier: MIT
// SQLite's log read without SQLite: all that was committed, and of other bytes nothing.
#include "store/database/damaged_log.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "store/database/private_copy.hpp"
#include "tests/support/plain_database.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

using test::noise;
using test::PlainDatabase;

constexpr std::size_t kHeader = 32;
constexpr std::size_t kFrameHeader = 24;

void turn(std::string& bytes, std::size_t at, unsigned bits)
{
    bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ bits);
}

class DamagedLogTest : public testing::TestWithParam<std::size_t> {
protected:
    DamagedLogTest() : database_(GetParam(), path_)
    {
        database_.fill(1, 10);
        for (int row = 2; row <= 6; ++row)
            database_.add(row, row, 10);
        log_ = PrivateCopy::log_of(path_);
    }
    [[nodiscard]] std::size_t frame() const { return kFrameHeader + GetParam(); }
    /// Where the frame is whose end is the log's.
    [[nodiscard]] std::size_t last() const
    {
        return kHeader + ((log_.size() - kHeader) / frame() - 1) * frame();
    }
    [[nodiscard]] bool has_row(const DamagedLog& log, int row) const
    {
        for (const auto& [number, page] : log.pages())
            if (page.find("000000000" + std::to_string(row)) != std::string_view::npos) return true;
        return false;
    }

    test::ScratchDirectory directory_;
    std::string path_ = directory_ / "some.db";
    PlainDatabase database_;
    std::string log_;
};

TEST_P(DamagedLogTest, OfASoundLogAllIsRead)
{
    const DamagedLog log(log_);
    EXPECT_EQ(log.flaw(), "");
    EXPECT_FALSE(log.has_unread());
    EXPECT_FALSE(log.has_unproved());
    EXPECT_EQ(log.page_size(), GetParam());
    EXPECT_EQ(log.size_in_pages(), 2U);
    for (const int row : {1, 6})
        EXPECT_TRUE(has_row(log, row));
}

TEST_P(DamagedLogTest, BehindADamagedFrameTheRestIsThere)
{
    turn(log_, last() - frame() + kFrameHeader + 9, 1);
    const DamagedLog log(log_);
    EXPECT_NE(log.flaw().find("and 2 commits behind it are there"), std::string::npos)
        << log.flaw();
    EXPECT_TRUE(has_row(log, 6));
}

// A kill in the middle of a commit leaves the same: it is no flaw where no commit is missing.
TEST_P(DamagedLogTest, AtItsEndAFrameThatNothingProvesMayHaveBeenCommitted)
{
    for (const auto at : {last() + 9, last() + 17, last() + kFrameHeader + 9}) {
        auto bytes = log_;
        turn(bytes, at, 1);
        const DamagedLog log(bytes);
        EXPECT_EQ(log.flaw(), "");
        EXPECT_FALSE(log.has_unread());
        EXPECT_TRUE(log.has_unproved()) << at;
    }
}

TEST_P(DamagedLogTest, WithoutAHeaderItsFramesProveThemselves)
{
    for (const std::size_t length : {std::size_t{4}, std::size_t{12}, kHeader}) {
        auto bytes = log_;
        bytes.replace(0, length, noise(length, 1));
        const DamagedLog log(bytes);
        EXPECT_EQ(log.flaw(), "the header of its log is wrong");
        EXPECT_EQ(log.page_size(), GetParam());
        EXPECT_TRUE(has_row(log, 6));
    }
}

// The first frame's salts go with it, and its checksum, from which that of the second goes on.
TEST_P(DamagedLogTest, WithoutItsBeginningTheRestIsThere)
{
    for (const auto length : {std::size_t{44}, kHeader + kFrameHeader, std::size_t{512},
                              kHeader + frame(), std::size_t{4096}, std::size_t{8192}})
        for (const unsigned seed : {0U, 1U, 2U}) {
            if (length + 4 * frame() > log_.size()) continue;
            auto bytes = log_;
            bytes.replace(0, length, seed == 0 ? std::string(length, '\0') : noise(length, seed));
            const DamagedLog log(bytes);
            EXPECT_EQ(log.flaw(), "the header of its log is wrong") << length;
            EXPECT_TRUE(log.has_unread());
            EXPECT_EQ(log.page_size(), GetParam());
            EXPECT_EQ(log.size_in_pages(), 2U);
            EXPECT_LE(log.pages().size(), 2U);
            EXPECT_TRUE(has_row(log, 6)) << length;
        }
}

// The last bit of its first word says in which order the bytes are that are summed.
TEST_P(DamagedLogTest, ATurnedBitOfTheHeaderCostsNothing)
{
    for (std::size_t at = 0; at < kHeader; ++at)
        for (const unsigned bit : {1U, 0x10U, 0x80U}) {
            auto bytes = log_;
            turn(bytes, at, bit);
            const DamagedLog log(bytes);
            EXPECT_NE(log.flaw(), "") << at;
            EXPECT_TRUE(has_row(log, 6)) << at;
        }
}

// A page under a wrong number would take the place of a sound one.
TEST_P(DamagedLogTest, ATurnedBitInAHeadIsTurnedBack)
{
    turn(log_, last() + 3, 4);
    const DamagedLog log(log_);
    EXPECT_EQ(log.size_in_pages(), 2U);
    EXPECT_EQ(log.pages().size(), 2U);
    EXPECT_TRUE(has_row(log, 6));
}

// SQLite's log ends there all the same.
TEST_P(DamagedLogTest, ATurnedBitInAHeadIsAFlaw)
{
    for (const std::size_t at : {last() - frame() + 3, last() - frame() + 7, last() + 7}) {
        auto bytes = log_;
        turn(bytes, at, 0x80);
        const DamagedLog log(bytes);
        EXPECT_NE(log.flaw().find("behind it are there"), std::string::npos) << log.flaw();
        EXPECT_EQ(log.size_in_pages(), 2U);
        EXPECT_EQ(log.pages().size(), 2U);
        EXPECT_TRUE(has_row(log, 6));
    }
}

// The checksum of a page with such a bit is at times that of a head with another page's number, or
// with a commit.
TEST_P(DamagedLogTest, AHighBitOfAPageIsNotTakenForOneOfItsHead)
{
    const auto page = last() - frame() + kFrameHeader;
    const auto step = std::max<std::size_t>(GetParam() / 64, 4);
    for (std::size_t at = page; at < page + GetParam(); at += step)
        for (const unsigned bit : {0x80U, 0x40U, 0x20U}) {
            auto bytes = log_;
            turn(bytes, at + 3, bit);
            const DamagedLog log(bytes);
            EXPECT_NE(log.flaw().find("and 2 commits behind it are there"), std::string::npos)
                << at - page << ": " << log.flaw();
            EXPECT_EQ(log.size_in_pages(), 2U) << at - page;
            EXPECT_EQ(log.pages().size(), 2U) << at - page;
        }
}

// What a kill leaves.
TEST_P(DamagedLogTest, ACommitThatIsCutOffWasNone)
{
    for (const std::size_t less : {std::size_t{1}, GetParam(), frame() - 1}) {
        const std::string bytes = log_.substr(0, log_.size() - less);
        const DamagedLog log(bytes);
        EXPECT_EQ(log.flaw(), "");
        // The first byte of the frame alone is a zero, as what was never written.
        EXPECT_EQ(log.has_unproved(), less < frame() - 1);
        EXPECT_FALSE(has_row(log, 6));
        EXPECT_TRUE(has_row(log, 5));
    }
}

// Whole frames of a transaction, and not the one that commits it.
TEST_P(DamagedLogTest, FramesWithoutTheirCommitAreNoneOfIt)
{
    const auto committed = log_.size();
    database_.add(7, 9, static_cast<int>(GetParam()) * 4);  // pages 1, 2 and new ones
    const auto pages = DamagedLog(log_).pages().size();
    const auto bytes = PrivateCopy::log_of(path_);
    ASSERT_GT(bytes.size(), committed + 4 * frame());
    const DamagedLog log(std::string_view(bytes).substr(0, committed + 4 * frame()));
    EXPECT_TRUE(log.has_unproved());
    EXPECT_EQ(log.size_in_pages(), 2U);
    EXPECT_EQ(log.pages().size(), pages);
}

// Frames of the time before the log was started anew are none of its.
TEST_P(DamagedLogTest, WhatWasCheckpointedIsNoneOfIt)
{
    database_.run("PRAGMA wal_checkpoint(RESTART)");
    database_.run("DELETE FROM t WHERE id = 6");
    const auto bytes = PrivateCopy::log_of(path_);
    const DamagedLog log(bytes);
    EXPECT_EQ(log.flaw(), "");
    EXPECT_FALSE(log.has_unread());
    EXPECT_FALSE(log.has_unproved());
    EXPECT_EQ(log.pages().size(), 1U);
}

// Behind the frames of the log that was begun anew those of before lie, which prove each other.
class BegunAnewTest : public DamagedLogTest {
protected:
    void begin_anew(int commits)
    {
        before_ = log_;
        database_.run("PRAGMA wal_checkpoint(RESTART)");
        for (int commit = 1; commit <= commits; ++commit)
            database_.run("UPDATE t SET text = 'new000000000" + std::to_string(commit) +
                          "' WHERE id = 6");
        log_ = PrivateCopy::log_of(path_);
        ASSERT_EQ(log_.size(), before_.size());
    }
    [[nodiscard]] static bool has_text(const DamagedLog& log, const std::string& text)
    {
        return std::ranges::any_of(log.pages(), [&](const auto& page) {
            return page.second.find(text) != std::string_view::npos;
        });
    }
    std::string before_;
};

TEST_P(BegunAnewTest, WithoutItsBeginningTheNewFramesCount)
{
    begin_anew(3);
    for (const auto length : {std::size_t{44}, kHeader + kFrameHeader, kHeader + frame()})
        for (const unsigned seed : {0U, 1U}) {
            auto bytes = log_;
            bytes.replace(0, length, seed == 0 ? std::string(length, '\0') : noise(length, seed));
            const DamagedLog log(bytes);
            EXPECT_EQ(log.flaw(), "the header of its log is wrong") << length;
            EXPECT_EQ(log.pages().size(), 1U) << length;
            EXPECT_TRUE(has_text(log, "new0000000003")) << length;
        }
}

// Nothing proves the only new frame that is left: what was checkpointed takes no place.
TEST_P(BegunAnewTest, OldFramesAreNoneOfItThoughNoNewOneIsProved)
{
    begin_anew(2);
    log_.replace(0, kHeader + frame(), noise(kHeader + frame(), 1));
    const DamagedLog log(log_);
    EXPECT_EQ(log.flaw(), "");
    EXPECT_TRUE(log.has_unread());
    EXPECT_TRUE(log.pages().empty());
}

// A block of the file that was never written, though those behind it were.
TEST_P(BegunAnewTest, ABeginningOfBeforeIsNoneOfIt)
{
    begin_anew(4);
    for (const auto length : {kHeader, kHeader + frame() / 2, kHeader + frame()}) {
        auto bytes = log_;
        bytes.replace(0, length, before_, 0, length);
        const DamagedLog log(bytes);
        EXPECT_EQ(log.flaw(), "the header of its log is wrong") << length;
        EXPECT_EQ(log.pages().size(), 1U) << length;
        EXPECT_TRUE(has_text(log, "new0000000004")) << length;
    }
}

TEST_P(DamagedLogTest, AnyLengthAndAnyByteIsRead)
{
    const auto step = log_.size() / 60 + 1;
    for (std::size_t length = 0; length <= log_.size(); length += step) {
        const std::string bytes = log_.substr(0, length);
        const DamagedLog log(bytes);
        EXPECT_LE(log.pages().size(), 2U);
    }
    for (std::size_t at = 0; at < log_.size(); at += step) {
        auto bytes = log_;
        turn(bytes, at, 0x55);
        const DamagedLog log(bytes);
        for (const auto& [number, page] : log.pages())
            EXPECT_EQ(page.size(), log.page_size());
    }
}

INSTANTIATE_TEST_SUITE_P(Sizes, DamagedLogTest, testing::Values(512, 4096, 65'536));
INSTANTIATE_TEST_SUITE_P(Sizes, BegunAnewTest, testing::Values(512, 4096, 65'536));

TEST(NoLogTest, HasNothing)
{
    for (const auto& bytes :
         {std::string(), std::string(31, 'x'), std::string(9000, '\0'), noise(9000, 3)}) {
        const DamagedLog log(bytes);
        EXPECT_TRUE(log.pages().empty());
        EXPECT_EQ(log.size_in_pages(), 0U);
        EXPECT_EQ(log.flaw(), "");
        EXPECT_EQ(log.page_size(), std::nullopt);
    }
}

}  // namespace
}  // namespace xlstore
