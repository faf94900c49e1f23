// SPDX-License-Identifier: MIT
#include "store/libxl/host_lock.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "store/libxl/host_hold.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore::libxl {
namespace {

class HostLockTest : public testing::Test {
protected:
    HostLockTest() { std::filesystem::create_directories(where_.lib()); }

    // As libxl holds it, in this process by another description.
    [[nodiscard]] Fd as_libxl() const
    {
        Fd fd(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
        EXPECT_EQ(flock(fd.get(), LOCK_EX | LOCK_NB), 0);
        return fd;
    }
    [[nodiscard]] bool can_be_taken() const
    {
        const auto lock = HostLock::try_take(path_);
        return lock && *lock;
    }
    [[nodiscard]] bool there() const { return std::filesystem::exists(path_); }

    test::ScratchDirectory directory_;
    HostDirectories where_{directory_.path()};
    FileOwner domain_{7, "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"};
    std::string path_ = lock_path(where_, domain_, HostLockKind::qmp_socket);
};

TEST_F(HostLockTest, HasLibxlsNames)
{
    const std::string stem = directory_.path() + "/var/lib/xen/userdata-l.7." + domain_.uuid + ".";
    EXPECT_EQ(path_, stem + "qmp-socket-lock");
    EXPECT_EQ(lock_path(where_, domain_, HostLockKind::device_changes),
              stem + "libxl-device-changes-lock");
    EXPECT_EQ(lock_path(where_, domain_, HostLockKind::document), stem + "domain-userdata-lock");
}

TEST_F(HostLockTest, KeepsLibxlOutAndLeavesNoFile)
{
    {
        const auto lock = HostLock::try_take(path_);
        ASSERT_TRUE(lock && *lock);
        EXPECT_TRUE((*lock)->is_held());
        const Fd other(open(path_.c_str(), O_RDWR | O_CLOEXEC));
        EXPECT_NE(flock(other.get(), LOCK_EX | LOCK_NB), 0);
        EXPECT_FALSE(can_be_taken());
    }
    EXPECT_FALSE(there());
}

TEST_F(HostLockTest, IsKeptOutByLibxlAndNamesTheHolder)
{
    Loop loop;
    const Fd held = as_libxl();
    const auto taken = loop.wait_for(HostLock::take(loop, path_, Clock::now()));
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, Errc::timeout);
    EXPECT_EQ(loop.wait_for(HostLock::take(loop, path_, kOneTry)).error().code, Errc::busy);
    EXPECT_NE(taken.error().message.find("pid " + std::to_string(getpid())), std::string::npos)
        << taken.error().message;
    EXPECT_TRUE(there());
}

TEST_F(HostLockTest, TheFileOfADeadHolderMeansNothing)
{
    test::write_file(path_, "");
    EXPECT_TRUE(can_be_taken());
    EXPECT_FALSE(there());
}

TEST_F(HostLockTest, AFileThatIsNoLongerAtThePathIsNotTheLock)
{
    auto lock = HostLock::try_take(path_);
    ASSERT_TRUE(lock && *lock);
    std::filesystem::remove(path_);  // a destruction by libxl
    EXPECT_FALSE((*lock)->is_held());
    const Fd next = as_libxl();
    lock = std::optional<HostLock>();
    EXPECT_TRUE(there()) << "it is another one's file";
    EXPECT_FALSE(can_be_taken());
}

TEST_F(HostLockTest, IsTakenWhenItsHolderGivesItBack)
{
    Loop loop;
    Fd held = as_libxl();
    auto taking = HostLock::take(loop, path_, Clock::now() + std::chrono::seconds(20));
    taking.start();
    while (!taking.done()) {
        if (held) {
            std::filesystem::remove(path_);  // as libxl: unlink, then close
            held.reset();
        }
        loop.wait_and_dispatch();
    }
    const auto lock = taking.take();
    ASSERT_TRUE(lock);
    EXPECT_TRUE(lock->is_held()) << "it is the file at the path, not the one that was removed";
}

TEST_F(HostLockTest, AForkedChildHoldsNothingAndRemovesNothing)
{
    auto lock = HostLock::try_take(path_);
    ASSERT_TRUE(lock && *lock);
    const pid_t child = fork();
    if (child == 0) {
        lock = std::optional<HostLock>();
        _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(there());
    EXPECT_FALSE(can_be_taken());
}

TEST_F(HostLockTest, AMonitorOfLibxlsHasBothCompanionsInOrder)
{
    Loop loop;
    const std::string changes = lock_path(where_, domain_, HostLockKind::device_changes);
    {
        const auto hold = loop.wait_for(
            HostHold::take(loop, where_.monitor(domain_.domid), domain_, Clock::now()));
        ASSERT_TRUE(hold && *hold);
        EXPECT_TRUE(std::filesystem::exists(changes));
        EXPECT_TRUE(there());
    }
    EXPECT_FALSE(std::filesystem::exists(changes));
    EXPECT_FALSE(there());
    const Fd held = as_libxl();
    EXPECT_EQ(
        loop.wait_for(HostHold::take(loop, where_.monitor(domain_.domid), domain_, Clock::now()))
            .error()
            .code,
        Errc::timeout);
    EXPECT_FALSE(std::filesystem::exists(changes)) << "what was taken before it is given back";
    const auto other =
        loop.wait_for(HostHold::take(loop, directory_ / "run/qmp-7", domain_, Clock::now()));
    ASSERT_TRUE(other);
    EXPECT_FALSE(*other) << "the monitor is not libxl's";
}

TEST_F(HostLockTest, WhatIsNoRegularFileIsRefused)
{
    test::write_file(directory_ / "other", "");
    ASSERT_EQ(symlink((directory_ / "other").c_str(), path_.c_str()), 0);
    EXPECT_FALSE(HostLock::try_take(path_));
    std::filesystem::remove(path_);
    ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
    EXPECT_FALSE(HostLock::try_take(path_));
    EXPECT_FALSE(HostLock::try_take(directory_ / "missing/lock"));
}

// A process that dies while it has the lock is no xl that was killed in the middle of a command.
TEST_F(HostLockTest, AFileThatThisLibraryLeftIsNoneOfLibxls)
{
    const pid_t child = fork();
    if (child == 0) {
        const auto lock = HostLock::try_take(path_);
        _exit(lock && *lock ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
    EXPECT_TRUE(there());
    EXPECT_FALSE(was_left_by_the_dead(path_));
    // libxl takes it over, with what is in it, and so does this library.
    EXPECT_EQ(flock(as_libxl().get(), LOCK_UN), 0);
    EXPECT_TRUE(can_be_taken());
    EXPECT_FALSE(there());
    {
        const Fd held = as_libxl();
    }
    EXPECT_TRUE(was_left_by_the_dead(path_));
}

}  // namespace
}  // namespace xlstore::libxl
