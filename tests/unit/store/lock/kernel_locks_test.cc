// SPDX-License-Identifier: MIT
#include "store/lock/kernel_locks.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "store/lock/lock_file.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

TEST(KernelLocksTest, ReadsTheRangesOfOneFileAndNoWaiters)
{
    const auto ranges = locked_ranges(
        "1: POSIX  ADVISORY  WRITE 32537 fe:00:11076097 1073741824 1073742335\n"
        "2: OFDLCK ADVISORY  WRITE -1 fe:00:77 8796093022208 8796093022208\n"
        "3: OFDLCK ADVISORY  READ -1 00:2a:77 200 EOF\n"
        "3: -> OFDLCK ADVISORY  WRITE -1 00:2a:77 1 1\n"
        "4: FLOCK  ADVISORY  WRITE 1 fe:00:177 0 EOF\n"
        "\n5: nonsense\n6: OFDLCK ADVISORY READ -1 fe:00:77 x 9\n",
        77);
    ASSERT_EQ(ranges.size(), 2U);
    EXPECT_EQ(ranges[0].first, 8796093022208);
    EXPECT_EQ(ranges[0].last, 8796093022208);
    EXPECT_EQ(ranges[1].first, 200);
    EXPECT_EQ(ranges[1].last, std::numeric_limits<std::int64_t>::max());
}

TEST(KernelLocksTest, SeesALockOfThisProcess)
{
    const test::ScratchDirectory directory;
    const auto path = directory / "lock";
    LockFile::create(path, 0600);
    const auto file = LockFile::open(path, true);
    ASSERT_TRUE(file);
    EXPECT_TRUE(locked_ranges(file->identity().inode)->empty());
    auto lock = file->try_lock(41);
    ASSERT_TRUE(lock && *lock);
    const auto ranges = locked_ranges(file->identity().inode);
    ASSERT_TRUE(ranges);
    ASSERT_EQ(ranges->size(), 1U);
    EXPECT_EQ(ranges->front().first, 41);
}

}  // namespace
}  // namespace xlstore
