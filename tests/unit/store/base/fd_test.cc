// SPDX-License-Identifier: MIT
#include "store/base/fd.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <thread>

#include "tests/support/in_child.hpp"

namespace xlstore {
namespace {

using test::in_child;

bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

class TemporaryFile {
public:
    TemporaryFile()
    {
        const Fd fd(mkstemp(name_.data()));
        EXPECT_TRUE(fd);
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() { unlink(name_.c_str()); }
    [[nodiscard]] int open() const { return ::open(name_.c_str(), O_RDWR | O_CLOEXEC); }

private:
    std::string name_ = testing::TempDir() + "xlstore-fd-XXXXXX";
};

bool try_lock(int fd)
{
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_len = 1;
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

TEST(FdTest, ClosesWhatItOwnsOnceAndKeepsErrno)
{
    const int raw = open("/dev/null", O_RDONLY | O_CLOEXEC);
    {
        Fd first(raw);
        Fd second(std::move(first));
        EXPECT_FALSE(first);
        EXPECT_EQ(second.get(), raw);
        second = std::move(second);
        EXPECT_TRUE(is_open(raw));
        errno = ENOSPC;
    }
    EXPECT_EQ(errno, ENOSPC);
    EXPECT_FALSE(is_open(raw));

    Fd released(open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int kept = released.release();
    released.reset();
    EXPECT_TRUE(is_open(kept));
    const Fd owner(kept);
}

TEST(ForkClosedFdTest, MovesAndClosesLikeAnyDescriptor)
{
    const int raw = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
    {
        ForkClosedFd first(raw);
        ForkClosedFd second(other);
        EXPECT_TRUE(is_fork_closed(raw));
        second = std::move(first);
        EXPECT_FALSE(is_open(other));
        EXPECT_FALSE(is_fork_closed(other));
        EXPECT_EQ(first.get(), -1);
        EXPECT_EQ(second.get(), raw);
        const ForkClosedFd third(std::move(second));
        EXPECT_TRUE(is_fork_closed(raw));
    }
    EXPECT_FALSE(is_open(raw));
    EXPECT_FALSE(is_fork_closed(raw));
}

TEST(ForkClosedFdTest, TakesAFailedOpenAndKeepsItsErrno)
{
    const ForkClosedFd fd(open("/nonexistent/file", O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(errno, ENOENT);
    EXPECT_FALSE(fd);
}

TEST(ForkClosedFdTest, IsClosedInTheChildAndLeftOpenInTheParent)
{
    ForkClosedFd first(open("/dev/null", O_RDONLY | O_CLOEXEC));
    ForkClosedFd second(open("/dev/null", O_RDONLY | O_CLOEXEC));
    ForkClosedFd moved(std::move(first));
    const std::array<int, 2> raw{second.get(), moved.get()};

    EXPECT_TRUE(in_child([&] {
        return !is_open(raw[0]) && !is_open(raw[1]) && second.get() == -1 && moved.get() == -1;
    }));

    EXPECT_TRUE(is_open(raw[0]) && is_open(raw[1]));
    EXPECT_TRUE(in_child([&] { return !is_open(raw[0]); })) << "a second fork, too";
}

// The number may be another file's by the time the child destroys what it inherited.
TEST(ForkClosedFdTest, InheritedObjectClosesNothingInTheChild)
{
    auto* object = new ForkClosedFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int raw = object->get();
    EXPECT_TRUE(in_child([&] {
        const int reused = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        if (reused != raw) return false;
        object->reset();
        object->~ForkClosedFd();
        return is_open(reused);
    }));
    delete object;
}

TEST(ForkClosedFdTest, ChildMakesNewOnesOfItsOwnWhichItsChildrenLose)
{
    const ForkClosedFd inherited(open("/dev/null", O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(in_child([] {
        const ForkClosedFd own(open("/dev/null", O_RDONLY | O_CLOEXEC));
        if (!own || !is_open(own.get())) return false;
        const int raw = own.get();
        return in_child([raw] { return !is_open(raw); }) && is_open(raw);
    }));
}

// "A child that outlives its parent must keep nothing alive": here the parent is a process that
// holds a lock, forks, and is killed, while its child lives on.
TEST(ForkClosedFdTest, LockEndsWithItsHolderThoughAForkedChildLivesOn)
{
    const TemporaryFile file;
    int to_test[2];
    int to_grandchild[2];  // its end of file lets the grandchild go
    ASSERT_EQ(pipe2(to_test, O_CLOEXEC), 0);
    ASSERT_EQ(pipe2(to_grandchild, O_CLOEXEC), 0);
    const pid_t holder = fork();
    if (holder == 0) {
        const ForkClosedFd lock(file.open());
        if (!try_lock(lock.get())) _exit(1);
        const pid_t grandchild = fork();
        if (grandchild == 0) {
            close(to_grandchild[1]);
            if (write(to_test[1], "x", 1) != 1) _exit(1);
            char byte = 0;
            const auto n = read(to_grandchild[0], &byte, 1);
            if (write(to_test[1], "y", 1) != 1) _exit(1);
            _exit(static_cast<int>(n));
        }
        for (;;)
            pause();
    }
    close(to_grandchild[0]);
    close(to_test[1]);
    char byte = 0;
    ASSERT_EQ(read(to_test[0], &byte, 1), 1);  // the grandchild runs
    const Fd mine(file.open());
    EXPECT_FALSE(try_lock(mine.get())) << "the holder lives and has the lock";

    kill(holder, SIGKILL);
    ASSERT_EQ(waitpid(holder, nullptr, 0), holder);

    EXPECT_TRUE(try_lock(mine.get())) << "the grandchild keeps a dead process's lock alive";
    close(to_grandchild[1]);
    ASSERT_EQ(read(to_test[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'y') << "the grandchild was alive until now";
    close(to_test[0]);
}

TEST(ForkGenerationTest, HandleOfTheParentIsPoisonedInTheChildOnly)
{
    const auto mine = fork_generation();
    EXPECT_FALSE(fork_poisoned(mine));
    EXPECT_TRUE(in_child([mine] {
        const auto own = fork_generation();
        return fork_poisoned(mine) && !fork_poisoned(own) &&
               in_child([&] { return fork_poisoned(mine) && fork_poisoned(own); });
    }));
    EXPECT_FALSE(fork_poisoned(mine));
}

// Opening with registering, and closing with unregistering, are one step for a thread that forks.
TEST(NoForkTest, NoChildSeesADescriptorBetweenItsOpeningAndItsRegistration)
{
    constexpr int kNumbers = 64;
    std::array<bool, kNumbers> before{};
    for (int fd = 0; fd < kNumbers; ++fd)
        before[static_cast<std::size_t>(fd)] = is_open(fd);
    std::atomic<bool> stop{false};
    std::thread opener([&stop] {
        while (!stop) {
            ForkClosedFd fd;
            {
                const NoFork no_fork;
                const int raw = open("/dev/null", O_RDONLY | O_CLOEXEC);
                for (volatile int wait = 0; wait < 2000;)
                    wait = wait + 1;  // widen the window
                fd = ForkClosedFd(raw);
            }
            ForkClosedFd moved(std::move(fd));
        }
    });

    int leaks = 0;
    for (int round = 0; round < 300; ++round) {
        leaks += !in_child([&before] {
            for (int fd = 0; fd < kNumbers; ++fd)
                if (is_open(fd) && !before[static_cast<std::size_t>(fd)]) return false;
            return true;
        });
    }

    stop = true;
    opener.join();
    EXPECT_EQ(leaks, 0);
}

TEST(NoForkTest, ThreadThatHoldsOneMayForkItself)
{
    const NoFork outer;
    const NoFork inner;
    const pid_t child = fork();
    if (child == 0) {
        const ForkClosedFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
        _exit(fd ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace xlstore
