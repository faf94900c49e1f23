// SPDX-License-Identifier: MIT
#include "store/lock/lock_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "tests/support/claim.hpp"
#include "tests/support/holder.hpp"
#include "tests/support/open_descriptors.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::claim;
using test::Holder;
using test::ScratchDirectory;

class LockFileTest : public testing::Test {
protected:
    LockFileTest() { LockFile::create(path_, 0600); }
    [[nodiscard]] LockFile open() const { return *LockFile::open(path_, true); }

    ScratchDirectory directory_;
    std::string path_ = directory_ / "locks";
};

TEST_F(LockFileTest, TwoDescriptionsOfOneProcessExcludeEachOther)
{
    const LockFile file = open();
    auto first = file.try_lock(5);
    ASSERT_TRUE(first && *first);
    EXPECT_TRUE((*first)->held());
    EXPECT_FALSE(*file.try_lock(5));
    EXPECT_FALSE(*open().try_lock(5));
    EXPECT_TRUE(*file.is_locked(5));
    EXPECT_TRUE(*file.try_lock(4));
    EXPECT_TRUE(*file.try_lock(6));
    EXPECT_FALSE(*file.try_lock(0, LockMode::exclusive, 100)) << "a range with a held byte in it";

    (*first)->release();
    EXPECT_FALSE((*first)->held());
    EXPECT_FALSE(*file.is_locked(5));
    EXPECT_TRUE(*file.try_lock(5));
}

// That is no matter of whose file it is: the owner has the same.
TEST_F(LockFileTest, TooFewDescriptorsAreToldAsSuch)
{
    const LockFile file = open();
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{0, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const auto opened = LockFile::open(path_, true);
    const auto locked = file.try_lock(5, LockMode::shared);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Errc::io) << opened.error().message;
    EXPECT_NE(opened.error().advice.find("ulimit -n"), std::string::npos) << opened.error().advice;
    ASSERT_FALSE(locked);
    EXPECT_EQ(locked.error().code, Errc::io) << locked.error().message;
    EXPECT_NE(locked.error().advice.find("ulimit -n"), std::string::npos) << locked.error().advice;
}

TEST_F(LockFileTest, HoldEndsWithItsObjectAndMovesWithIt)
{
    const LockFile file = open();
    {
        auto first = *std::move(*file.try_lock(5));
        ByteLock second(std::move(first));
        EXPECT_TRUE(second.held());
        EXPECT_FALSE(first.held());
        EXPECT_FALSE(*file.try_lock(5));
        second = *std::move(*file.try_lock(6));  // lets go of 5
        EXPECT_TRUE(*file.try_lock(5));
        EXPECT_FALSE(*file.try_lock(6));
    }
    EXPECT_TRUE(*file.try_lock(6));
}

TEST_F(LockFileTest, SharedExcludesExclusiveButNotShared)
{
    const LockFile file = open();
    auto one = file.try_lock(5, LockMode::shared);
    auto two = file.try_lock(5, LockMode::shared);
    ASSERT_TRUE(one && *one && two && *two);
    EXPECT_FALSE(*file.try_lock(5));
    EXPECT_TRUE(*file.is_locked(5));
    (*one)->release();
    EXPECT_FALSE(*file.try_lock(5));
    (*two)->release();
    auto exclusive = file.try_lock(5);
    ASSERT_TRUE(exclusive && *exclusive);
    EXPECT_FALSE(*file.try_lock(5, LockMode::shared));
}

// It answers at once; an open that waited for a writer would keep the process for ever.
TEST_F(LockFileTest, AFifoInItsPlaceIsRefusedAndNotWaitedFor)
{
    test::ScratchDirectory directory;
    const auto path = directory.path() + "/fifo";
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    for (const bool writing : {false, true}) {
        const auto opened = LockFile::open(path, writing);
        ASSERT_FALSE(opened);
        EXPECT_NE(opened.error().message.find("is not a regular file"), std::string::npos);
    }
}

TEST_F(LockFileTest, KilledHolderHoldsNothing)
{
    const LockFile file = open();
    const auto holder = std::make_unique<Holder>([this] {
        static auto lock = open().try_lock(5);
        return lock && *lock;
    });
    EXPECT_FALSE(*file.try_lock(5));
    EXPECT_TRUE(*file.is_locked(5));
    holder->end();
    EXPECT_TRUE(*file.try_lock(5));
}

// A child that outlives its parent must keep nothing alive, and cannot let go of what is ours.
TEST_F(LockFileTest, ForkedChildHasNoPartInAHold)
{
    const LockFile file = open();
    auto lock = *std::move(*file.try_lock(5));
    const Holder child([&lock] {
        const bool held = lock.held();
        lock.release();
        return !held;
    });
    EXPECT_TRUE(lock.held());
    EXPECT_FALSE(*file.try_lock(5));
    lock.release();
    EXPECT_TRUE(*file.try_lock(5)) << "the child keeps it";
}

// A child made behind the C library's back runs no fork handler and keeps every descriptor: letting
// go has to unlock by name, a close alone would leave the lock with the child.
TEST_F(LockFileTest, LetsGoThoughADescriptorLeaked)
{
    const LockFile file = open();
    auto lock = *std::move(*file.try_lock(5));
    const auto child = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    ASSERT_GE(child, 0);
    if (child == 0) {
        for (;;)
            pause();
    }
    EXPECT_FALSE(*file.try_lock(5));
    lock.release();
    EXPECT_TRUE(*file.try_lock(5)) << "the child keeps it";
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
}

// A description that is kept is as good as a new one: it holds nothing, is one hold's at a time, and
// is no child's.
TEST_F(LockFileTest, KeptDescriptionsHoldNothing)
{
    LockFile file = open();
    file.keep_descriptions();
    const auto before = test::open_descriptors();
    for (int i = 0; i < 10; ++i) {
        const auto first = file.try_lock(5);
        const auto second = file.try_lock(6);
        const auto third = file.try_lock(7);
        ASSERT_TRUE(first && *first && second && *second && third && *third);
        EXPECT_FALSE(*file.try_lock(5));
        EXPECT_FALSE(*file.try_lock(6));
        EXPECT_FALSE(*open().try_lock(7));
    }
    EXPECT_EQ(test::open_descriptors(), before + 2) << "no more than an operation needs at once";
    for (const int byte : {5, 6, 7})
        EXPECT_FALSE(*file.is_locked(byte));
    // It is open from before the fork.
    auto lock = *std::move(*file.try_lock(5));
    const Holder child([&lock] { return !lock.held(); });
    lock.release();
    EXPECT_TRUE(*open().try_lock(5)) << "the child keeps it";
}

// R17: also of a description that was opened before.
TEST_F(LockFileTest, KeptDescriptionOfAReplacedFileIsLost)
{
    LockFile file = open();
    file.keep_descriptions();
    ASSERT_TRUE(*file.try_lock(5));
    for (const bool another : {false, true}) {
        if (!another) std::filesystem::rename(path_, path_ + ".away");
        if (another) LockFile::create(path_, 0600);
        const auto lock = file.try_lock(5);
        ASSERT_FALSE(lock);
        EXPECT_EQ(lock.error().code, Errc::lost);
    }
}

// R17.
TEST_F(LockFileTest, ReplacedFileIsLost)
{
    const LockFile file = open();
    auto first = file.prepare(5);
    auto second = file.prepare(5);
    ASSERT_TRUE(first && second);
    std::filesystem::rename(path_, path_ + ".away");
    for (auto* prepared : {&first, &second}) {
        const auto lock = file.try_lock(5);
        ASSERT_FALSE(lock);
        EXPECT_EQ(lock.error().code, Errc::lost);
        EXPECT_NE(lock.error().message.find(path_), std::string::npos);
        EXPECT_EQ(file.is_locked(5).error().code, Errc::lost);
        // One that was opened before: the lock is to be had there, and worth nothing.
        const auto taken = file.try_take(**prepared);
        ASSERT_FALSE(taken);
        EXPECT_EQ(taken.error().code, Errc::lost);
        EXPECT_FALSE((*prepared)->held());
        LockFile::create(path_, 0600);  // the second time there is another file in its place
    }
}

TEST_F(LockFileTest, OnlyARegularFileIsOpened)
{
    EXPECT_EQ(LockFile::open(directory_ / "none", true).error().code, Errc::store);
    std::filesystem::create_symlink(path_, directory_ / "link");
    EXPECT_EQ(LockFile::open(directory_ / "link", true).error().code, Errc::store);
    EXPECT_EQ(LockFile::open("/dev/null", true).error().code, Errc::store);
}

TEST_F(LockFileTest, ClaimsAreReadBackAndCleared)
{
    const LockFile file = open();
    EXPECT_FALSE(file.read_claim(3));
    file.write_claim(3, claim("attach qemu/tab with blanks"));
    file.write_claim(4, claim("other"));
    const auto read = file.read_claim(3);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->pid, getpid());
    EXPECT_EQ(read->start_time, 77U);
    EXPECT_EQ(read->pid_namespace, 88U);
    EXPECT_EQ(read->since_us, 1'700'000'000'000'000);
    EXPECT_EQ(read->program, "test");
    EXPECT_EQ(read->operation, "attach qemu/tab with blanks");
    EXPECT_NE(
        describe(*read).find("attach qemu/tab with blanks (test, pid " + std::to_string(getpid())),
        std::string::npos);
    file.clear_claim(3);
    EXPECT_FALSE(file.read_claim(3));
    EXPECT_TRUE(file.read_claim(4));

    // However long it is, it stays in its slot.
    file.write_claim(3, claim(std::string(1000, 'x')));
    ASSERT_TRUE(file.read_claim(3));
    EXPECT_EQ(file.read_claim(4)->operation, "other");
}

TEST_F(LockFileTest, GenerationAndClaimLeaveEachOtherAlone)
{
    const LockFile file = open();
    EXPECT_EQ(file.generation(3), 0);
    ASSERT_TRUE(file.set_generation(3, 5));
    EXPECT_FALSE(file.read_claim(3));
    file.write_claim(3, claim(std::string(1000, 'x')));
    EXPECT_EQ(file.generation(3), 5);
    ASSERT_TRUE(file.set_generation(3, 999'999'999'999));
    EXPECT_EQ(file.read_claim(3)->operation.substr(0, 9), "xxxxxxxxx");
    file.write_claim(4, claim("next"));
    file.clear_claim(3);
    EXPECT_EQ(file.generation(3), 999'999'999'999);
    EXPECT_EQ(file.generation(2), 0);
    EXPECT_EQ(file.generation(4), 0);
    EXPECT_EQ(open().generation(3), 999'999'999'999);
    EXPECT_EQ(file.read_claim(4)->operation, "next");

    const auto looking = LockFile::open(path_, false);
    EXPECT_EQ(looking->generation(3), 999'999'999'999);
    EXPECT_EQ(looking->set_generation(3, 1).error().code, Errc::io);
    // Damaged: the same for each process.
    test::write_file(path_, std::string(4096, 'x'));
    EXPECT_EQ(file.generation(3), 0);
}

TEST_F(LockFileTest, DamagedClaimIsNone)
{
    const LockFile file = open();
    for (const std::string text :
         {"nonsense", "1 2 3", "1 2 3 x program op", "-", "99999999999999999999 1 1 1 p o"}) {
        test::write_file(path_, text + "\n");
        EXPECT_FALSE(file.read_claim(0)) << text;
    }
}

}  // namespace
}  // namespace xlstore
