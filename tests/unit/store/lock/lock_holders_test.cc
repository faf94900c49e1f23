// SPDX-License-Identifier: MIT
#include "store/lock/lock_holders.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

using test::ScratchDirectory;

class LockHoldersTest : public testing::Test {
protected:
    LockHoldersTest() { test::write_file(path_, "x"); }
    /// Locks bytes as SQLite does (F_SETLK) or as we do (F_OFD_SETLK); count 0: to the end.
    Fd locked(int command, std::int64_t first, std::int64_t count) const
    {
        Fd fd(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
        struct flock range {};
        range.l_type = F_WRLCK;
        range.l_whence = SEEK_SET;
        range.l_start = first;
        range.l_len = count;
        EXPECT_EQ(fcntl(fd.get(), command, &range), 0);
        return fd;
    }
    std::vector<LockHolder> holders(std::int64_t first, std::int64_t last) const
    {
        return lock_holders(path_, *file_identity(path_), first, last);
    }

    ScratchDirectory directory_;
    std::string path_ = directory_ / "locks";
};

TEST_F(LockHoldersTest, NamesWhoKeepsAByteOfTheRange)
{
    for (const int command : {F_OFD_SETLK, F_SETLK}) {
        const Fd fd = locked(command, 100, 10);
        for (const auto& [first, last] : {std::pair{100, 100}, {109, 109}, {50, 100}, {0, 1000}}) {
            const auto found = holders(first, last);
            ASSERT_EQ(found.size(), 1U) << first << " to " << last;
            EXPECT_EQ(found[0].pid, getpid());
            EXPECT_EQ(describe(found[0]), "pid " + std::to_string(getpid()) + " (unit_tests)");
        }
        EXPECT_TRUE(holders(0, 99).empty());
        EXPECT_TRUE(holders(110, 1000).empty());
    }
    EXPECT_TRUE(holders(0, 1000).empty()) << "let go";
}

TEST_F(LockHoldersTest, RangeToTheEndHasEveryByteBehindItsFirst)
{
    const Fd fd = locked(F_OFD_SETLK, 100, 0);
    EXPECT_EQ(holders(std::int64_t{1} << 50, std::int64_t{1} << 50).size(), 1U);
    EXPECT_TRUE(holders(0, 99).empty());
}

TEST_F(LockHoldersTest, AnotherFileOfThatNameIsNotThisOne)
{
    const Fd fd = locked(F_OFD_SETLK, 100, 1);
    std::filesystem::create_directory(directory_ / "away");
    std::filesystem::rename(path_, directory_ / "away/locks");
    test::write_file(path_, "y");
    EXPECT_TRUE(holders(100, 100).empty());
    EXPECT_EQ(lock_holders(path_, *file_identity(directory_ / "away/locks"), 100, 100).size(), 1U)
        << "it is the inode that counts";
}

}  // namespace
}  // namespace xlstore
