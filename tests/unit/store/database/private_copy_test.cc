// SPDX-License-Identifier: MIT
#include "store/database/private_copy.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "store/database/db.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

namespace fs = std::filesystem;

/// A database whose last row is in its log alone, and a place of our own for copies.
class PrivateCopyTest : public testing::Test {
protected:
    PrivateCopyTest()
    {
        fs::create_directory(place_);
        setenv("TMPDIR", place_.c_str(), 1);
        writer_.emplace(path_, Db::Mode::create);
        writer_->execute("CREATE TABLE t (n INTEGER)");
        writer_->execute("INSERT INTO t VALUES (1)");
        (void)writer_->checkpoint(true);
        writer_->execute("INSERT INTO t VALUES (2)");
    }
    ~PrivateCopyTest() override { unsetenv("TMPDIR"); }
    static std::int64_t rows_of(const std::string& database)
    {
        Db db(database, Db::Mode::read_only);
        return db.pragma_integer("SELECT count(*) FROM t");
    }

    test::ScratchDirectory directory_;
    std::string place_ = directory_ / "copies";
    std::string path_ = directory_ / "some.db";
    std::optional<Db> writer_;
};

TEST_F(PrivateCopyTest, HasTheLogAsWell)
{
    const auto copy = PrivateCopy::make(path_);
    ASSERT_TRUE(copy) << copy.error().message;
    EXPECT_TRUE((*copy)->database().starts_with(place_ + "/"));
    EXPECT_EQ(rows_of((*copy)->database()), 2);
}

TEST_F(PrivateCopyTest, IsBehindOnceTheDatabaseOrItsLogWasWrittenTo)
{
    const auto make = [&] { return *PrivateCopy::make(path_); };
    auto copy = make();
    EXPECT_EQ(rows_of(path_), 2);  // a look
    EXPECT_FALSE(copy->is_behind()) << "log and index were there before";
    writer_->execute("INSERT INTO t VALUES (3)");
    EXPECT_TRUE(copy->is_behind()) << "a commit";
    copy = make();
    (void)writer_->checkpoint(true);
    EXPECT_TRUE(copy->is_behind()) << "a checkpoint";
    writer_.reset();
    fs::remove(path_ + "-wal");
    copy = make();
    EXPECT_FALSE(copy->is_behind());
    writer_.emplace(path_, Db::Mode::read_write);
    writer_->execute("INSERT INTO t VALUES (4)");
    EXPECT_TRUE(copy->is_behind()) << "a log that came";
    copy = make();
    fs::remove(path_);
    EXPECT_TRUE(copy->is_behind()) << "a database that went";
}

// A directory that is reached through a symlink is as good as any other.
TEST_F(PrivateCopyTest, IsMadeBehindASymlinkedDirectory)
{
    const auto link = directory_ / "link";
    fs::create_directory_symlink(place_, link);
    setenv("TMPDIR", link.c_str(), 1);
    const auto copy = PrivateCopy::make(path_);
    ASSERT_TRUE(copy) << copy.error().message;
    EXPECT_TRUE((*copy)->database().starts_with(link + "/"));
    EXPECT_EQ(rows_of((*copy)->database()), 2);
}

TEST_F(PrivateCopyTest, IsOurs)
{
    const auto copy = PrivateCopy::make(path_);
    ASSERT_TRUE(copy);
    struct stat st {};
    ASSERT_EQ(stat((*copy)->database().c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0600U);
    ASSERT_EQ(stat(fs::path((*copy)->database()).parent_path().c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0700U);
}

TEST_F(PrivateCopyTest, GoesWithItsObject)
{
    {
        const auto copy = PrivateCopy::make(path_);
        ASSERT_TRUE(copy);
        EXPECT_EQ(rows_of((*copy)->database()), 2);  // SQLite makes files beside it
        EXPECT_FALSE(fs::is_empty(place_));
    }
    EXPECT_TRUE(fs::is_empty(place_));
}

TEST_F(PrivateCopyTest, OneThatAKilledProcessLeftGoesWithTheNext)
{
    const auto living = PrivateCopy::make(path_);
    ASSERT_TRUE(living);
    const pid_t child = fork();
    if (child == 0) {
        const auto copy = PrivateCopy::make(path_);
        _exit(copy ? 0 : 1);  // no destructor runs
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
    const auto count = [&] {
        return std::distance(fs::directory_iterator(place_), fs::directory_iterator());
    };
    EXPECT_EQ(count(), 2);
    const auto copy = PrivateCopy::make(path_);
    ASSERT_TRUE(copy);
    EXPECT_EQ(count(), 2) << "that of the living one, and this one";
    EXPECT_EQ(rows_of((*living)->database()), 2);
}

TEST_F(PrivateCopyTest, WhatIsNoCopyIsLeftAlone)
{
    fs::create_directory(place_ + "/xlstore-copy");
    fs::create_directory(directory_ / "elsewhere");
    fs::create_directory_symlink(directory_ / "elsewhere", place_ + "/xlstore-copy-link");
    fs::create_directory(place_ + "/xlstore-copy-full");
    std::ofstream(place_ + "/xlstore-copy-full/mine") << "mine";
    ASSERT_TRUE(PrivateCopy::make(path_));
    EXPECT_TRUE(fs::exists(place_ + "/xlstore-copy"));
    EXPECT_TRUE(fs::is_symlink(place_ + "/xlstore-copy-link"));
    EXPECT_TRUE(fs::exists(place_ + "/xlstore-copy-full/mine"));
}

TEST_F(PrivateCopyTest, LeavesTheLocksOfOthersOfThisProcess)
{
    // Closing another descriptor of the file would drop them: a second writer got in.
    writer_->execute("BEGIN IMMEDIATE");
    writer_->execute("INSERT INTO t VALUES (3)");
    const auto copy = PrivateCopy::make(path_);
    ASSERT_TRUE(copy) << copy.error().message;
    EXPECT_EQ(rows_of((*copy)->database()), 2) << "what is not committed is not in it";
    // Asked by another process, since locks of one's own exclude nothing.
    const auto other =
        test::run({"sqlite3", path_, "PRAGMA busy_timeout = 0; INSERT INTO t VALUES (4)"});
    EXPECT_NE(other.status, 0) << other.out;
    writer_->execute("COMMIT");
    EXPECT_EQ(rows_of(path_), 3);
}

TEST_F(PrivateCopyTest, WhatIsNotThereCannotBeCopied)
{
    const auto copy = PrivateCopy::make(directory_ / "none.db");
    ASSERT_FALSE(copy);
    EXPECT_EQ(copy.error().code, Errc::io);
    EXPECT_NE(copy.error().message.find("none.db"), std::string::npos) << copy.error().message;
    EXPECT_TRUE(fs::is_empty(place_));
}

TEST_F(PrivateCopyTest, AnotherPlaceIsTakenWhereTheFirstIsNone)
{
    setenv("TMPDIR", (directory_ / "nowhere").c_str(), 1);
    const auto copy = PrivateCopy::make(path_);
    ASSERT_TRUE(copy) << copy.error().message;
    EXPECT_EQ(rows_of((*copy)->database()), 2);
}

}  // namespace
}  // namespace xlstore
