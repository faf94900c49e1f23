// SPDX-License-Identifier: MIT
// R21: the blocks that destruction, settling and recovery find on a full disk. Here no file may
// grow (RLIMIT_FSIZE); a disk that is really full is tests/crash/full_disk.py's.
#include "store/database/reserve.hpp"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <filesystem>

#include "store/core/journal.hpp"
#include "tests/support/no_growth.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/sqlite_calls.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::soon;

namespace fs = std::filesystem;

constexpr std::size_t kLine = 2'000;

/// Another program's connection.
class Other {
public:
    explicit Other(const std::string& store)
    {
        EXPECT_EQ(sqlite3_open((store + "/store.db").c_str(), &db_), SQLITE_OK);
    }
    Other(const Other&) = delete;
    Other& operator=(const Other&) = delete;
    ~Other() { sqlite3_close(db_); }
    void run(const char* sql) const
    {
        EXPECT_EQ(sqlite3_exec(db_, sql, nullptr, nullptr, nullptr), SQLITE_OK)
            << sqlite3_errmsg(db_);
    }

private:
    sqlite3* db_ = nullptr;
};

class ReserveTest : public testing::Test {
protected:
    [[nodiscard]] std::int64_t size_of(const char* file) const
    {
        return static_cast<std::int64_t>(fs::file_size(scratch_.path() + file));
    }
    [[nodiscard]] std::int64_t pages_of(Store& store) const
    {
        return store.db().pragma_integer("PRAGMA page_count") * 4096;
    }
    /// One commit of so many bytes of text. What SQLite said of it; 0: it is done.
    static int commit(Store& store, Room room, std::size_t bytes = 1)
    {
        const auto section = [&](const WriterHold&) -> Result<void> {
            for (std::size_t left = bytes; left > 0; left -= std::min(left, kLine))
                Journal(store).add_history(HistoryLine{
                    {}, "test", {}, {}, "done", {}, std::string(std::min(left, kLine), 'x')});
            return {};
        };
        try {
            const auto done =
                store.loop().wait_for(store.with_writer_lock("test", soon(), section, room));
            EXPECT_TRUE(done);
        } catch (const DbError& e) {
            return e.extended_code() & 0xff;
        }
        return 0;
    }
    /// Commits until one is refused; how many.
    static int commits_until_refused(Store& store, std::size_t bytes = 1,
                                     Room room = Room::ordinary)
    {
        for (int n = 0; n < 10'000; ++n)
            if (const int why = commit(store, room, bytes); why != 0) {
                EXPECT_EQ(why, SQLITE_FULL);
                return n;
            }
        ADD_FAILURE() << "no commit was refused";
        return 0;
    }

    test::ScratchStore scratch_;
};

TEST_F(ReserveTest, ANewStoreHasIt)
{
    EXPECT_GE(size_of("/store.db-wal"), limits::reserve_in_log + limits::ordinary_room);
    const auto store = scratch_.open();
    EXPECT_GE(size_of("/store.db"), pages_of(*store) + limits::reserve_in_database);
    EXPECT_EQ(test::sql(scratch_.path(), "PRAGMA integrity_check"), "ok");
}

// As a store of release 0.1 has none.
TEST_F(ReserveTest, AStoreWithoutGetsItWhenItIsOpenedForWriting)
{
    Other(scratch_.path()).run("PRAGMA wal_checkpoint(TRUNCATE)");
    const auto pages = test::sql(scratch_.path(), "PRAGMA page_count");
    fs::resize_file(scratch_.path() + "/store.db", std::stoul(pages) * 4096);
    for (const char* suffix : {"-wal", "-shm"})
        fs::remove(scratch_.path() + "/store.db" + suffix);
    ASSERT_FALSE(fs::exists(scratch_.path() + "/store.db-wal"));

    const auto store = scratch_.open();

    EXPECT_GE(size_of("/store.db-wal"), limits::reserve_in_log);
    EXPECT_GE(size_of("/store.db"), pages_of(*store) + limits::reserve_in_database);
}

// With a reader in the way the log cannot be started anew, so that commits use it up.
TEST_F(ReserveTest, OrdinaryCommitsLeaveItAndOthersMayTakeIt)
{
    const auto store = scratch_.open();
    ASSERT_EQ(commit(*store, Room::ordinary), 0);
    const Other reader(scratch_.path());
    reader.run("BEGIN; SELECT count(*) FROM history");
    const test::NoGrowth full(fs::file_size(scratch_.path() + "/store.db-wal"));

    EXPECT_GT(commits_until_refused(*store), 0) << "there is room beside the reserve";
    EXPECT_EQ(commit(*store, Room::ordinary), SQLITE_FULL);
    for (std::int64_t bytes = 0; bytes < limits::reserve_in_log / 2; bytes += 16 << 10)
        ASSERT_EQ(commit(*store, Room::reserve), 0) << "R21: the reserve was taken";

    reader.run("COMMIT");
    EXPECT_EQ(commit(*store, Room::ordinary), 0) << "the log is started anew";
}

// What can be omitted, the copy of a document, leaves the other half to what cannot.
TEST_F(ReserveTest, ACopyTakesHalfOfItAtMost)
{
    const auto store = scratch_.open();
    ASSERT_EQ(commit(*store, Room::ordinary), 0);
    const Other reader(scratch_.path());
    reader.run("BEGIN; SELECT count(*) FROM history");
    const test::NoGrowth full(fs::file_size(scratch_.path() + "/store.db-wal"));
    (void)commits_until_refused(*store);

    EXPECT_GT(commits_until_refused(*store, 10'000, Room::half), 5);
    for (std::int64_t bytes = 0; bytes < limits::reserve_in_log / 4; bytes += 16 << 10)
        ASSERT_EQ(commit(*store, Room::reserve), 0) << bytes;
}

// A transaction that begins while there is room does not take the reserve either.
TEST_F(ReserveTest, ALargeOrdinaryCommitDoesNotTakeIt)
{
    const auto store = scratch_.open();
    ASSERT_EQ(commit(*store, Room::ordinary), 0);
    const auto before = pages_of(*store);
    {
        const test::NoGrowth full(fs::file_size(scratch_.path() + "/store.db-wal"));
        EXPECT_EQ(commit(*store, Room::ordinary, 1'100'000), SQLITE_FULL);
        EXPECT_EQ(commit(*store, Room::reserve, 400'000), 0);
    }
    EXPECT_GT(pages_of(*store), before);
    EXPECT_EQ(commit(*store, Room::ordinary, 1'100'000), 0) << "there is room again";
    EXPECT_EQ(test::sql(scratch_.path(), "PRAGMA integrity_check"), "ok");
}

// Room in the log is not enough: what a checkpoint cannot copy out keeps it from being started
// anew.
TEST_F(ReserveTest, OrdinaryCommitsLeaveRoomForTheCheckpointOfOthers)
{
    const auto store = scratch_.open();
    const test::NoGrowth full(fs::file_size(scratch_.path() + "/store.db-wal"));
    (void)commits_until_refused(*store, 20'000);
    EXPECT_GE(size_of("/store.db"), pages_of(*store) + limits::reserve_in_database);
    for (int n = 0; n < 500; ++n)  // three times the log
        ASSERT_EQ(commit(*store, Room::reserve, 10), 0) << n;
}

// Nor does it grow by itself each time that the log was empty: the zeros are no pages.
TEST_F(ReserveTest, StaysAsLargeAsItIs)
{
    std::int64_t before = 0;
    for (int n = 0; n < 4; ++n) {
        const auto store = scratch_.open();
        ASSERT_EQ(commit(*store, Room::ordinary), 0);
        ASSERT_TRUE(store->loop().wait_for(store->empty_log(soon())));
        ASSERT_EQ(commit(*store, Room::ordinary), 0);
        if (n == 1) before = size_of("/store.db");
    }
    EXPECT_EQ(size_of("/store.db"), before);
    constexpr std::int64_t kStep = 256 << 10;
    EXPECT_LE(before, pages_of(*scratch_.open()) + limits::reserve_in_database +
                          limits::ordinary_room + kStep);
}

TEST_F(ReserveTest, NoCheckpointCutsItOff)
{
    const auto store = scratch_.open();
    ASSERT_EQ(commit(*store, Room::ordinary, 200'000), 0);
    ASSERT_TRUE(store->loop().wait_for(store->empty_log(soon())));
    EXPECT_GE(size_of("/store.db-wal"), limits::reserve_in_log);
    EXPECT_GE(size_of("/store.db"), pages_of(*store) + limits::reserve_in_database);
    EXPECT_EQ(test::sql(scratch_.path(), "PRAGMA integrity_check"), "ok");
}

TEST_F(ReserveTest, TheMessageSaysHowMuchIsFreeAndWhere)
{
    const auto store = scratch_.open();
    const test::NoGrowth full(fs::file_size(scratch_.path() + "/store.db-wal"));
    std::optional<Error> error;
    for (int n = 0; !error && n < 1000; ++n) {
        try {
            const auto section = [&](const WriterHold&) -> Result<void> {
                Journal(*store).add_history(
                    HistoryLine{{}, "test", {}, {}, "done", {}, std::string(2'000, 'x')});
                return {};
            };
            (void)store->loop().wait_for(store->with_writer_lock("test", soon(), section));
        } catch (const DbError& e) {
            error = error_of(e);
        }
    }
    ASSERT_TRUE(error);
    EXPECT_TRUE(
        test::contains(error->message, " KiB are free on the file system of " + scratch_.path()));
    EXPECT_TRUE(test::contains(error->advice, "make room on the file system of the store"));
}

// Nor is a disk that failed taken for a full one: no room is to be made, and no copy to be omitted
// (R22).
class FailingDiskTest : public ReserveTest, public testing::WithParamInterface<test::SqliteCall> {
protected:
    class Failing : public test::SqliteObserver {
    public:
        bool may(test::SqliteCall call, const std::string&) override
        {
            return !armed || call != GetParam();
        }
        bool armed = false;
    };
};
INSTANTIATE_TEST_SUITE_P(ReserveTest, FailingDiskTest,
                         testing::Values(test::SqliteCall::size, test::SqliteCall::write),
                         [](const auto& call) { return std::string(name_of(call.param)); });

TEST_P(FailingDiskTest, IsNoFullDisk)
{
    Failing failing;
    const test::Watching watching(failing);
    for (const auto room : {Room::ordinary, Room::half}) {
        Other(scratch_.path()).run("PRAGMA wal_checkpoint(TRUNCATE)");  // what it has must grow
        const auto store = scratch_.open();
        Other(scratch_.path()).run("PRAGMA wal_checkpoint(TRUNCATE)");
        failing.armed = true;
        EXPECT_EQ(commit(*store, room), SQLITE_IOERR);
        failing.armed = false;
        EXPECT_EQ(commit(*store, room), 0);
    }
}

// Not taken for a disk that failed.
TEST(NoRoomTest, ForTheIndexOfTheLogIsRoomThatIsMissing)
{
    const Error error = error_of(DbError(SQLITE_IOERR_SHMSIZE, "database /x: disk I/O error"));
    EXPECT_EQ(error.code, Errc::io);
    EXPECT_TRUE(test::contains(error.advice, "make room"));
}

// R17: the index of a log that a hand took away names more of it than there is.
TEST(ShortLogTest, IsNotTakenForADiskThatFailed)
{
    const Error error = error_of(DbError(SQLITE_IOERR_SHORT_READ, "database /x: disk I/O error"));
    EXPECT_EQ(error.code, Errc::lost);
    EXPECT_TRUE(test::contains(error.message, "R17"));
    EXPECT_FALSE(test::contains(error.advice, "dmesg"));
}

}  // namespace
}  // namespace xlstore
