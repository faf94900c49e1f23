// SPDX-License-Identifier: MIT
#include "store/os/held_processes.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/open_descriptors.hpp"

namespace xlstore {
namespace {

class Paused {
public:
    Paused() : pid_(fork())
    {
        if (pid_ != 0) return;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    Paused(const Paused&) = delete;
    Paused& operator=(const Paused&) = delete;
    ~Paused() { reap(); }
    [[nodiscard]] ProcessId id() const { return *identify(pid_); }
    /// It is a zombie when this returns.
    void end() const
    {
        kill(pid_, SIGKILL);
        siginfo_t info{};
        waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
    }
    void reap()
    {
        if (pid_ == 0) return;
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }

private:
    pid_t pid_;
};

// R11
TEST(HeldProcessesTest, OneThatIsHeldIsDeadAsSoonAsItHasEnded)
{
    HeldProcesses processes;
    Paused child;
    const auto id = child.id();
    EXPECT_EQ(processes.life_of(id), Life::alive);
    EXPECT_EQ(processes.life_of(id), Life::alive);
    child.end();
    EXPECT_EQ(processes.life_of(id), Life::dead) << "a zombie";
    EXPECT_EQ(processes.life_of(id), Life::dead);
    child.reap();
    EXPECT_EQ(processes.life_of(id), Life::dead) << "no such process";
}

// Held is a process, not a number.
TEST(HeldProcessesTest, AnotherProcessOfThatNumberIsAnotherOne)
{
    HeldProcesses processes;
    const Paused child;
    const auto id = child.id();
    auto earlier = id;
    earlier.start_time -= 1;
    auto other_boot = id;
    other_boot.boot_id = "00000000-0000-0000-0000-000000000000";
    EXPECT_EQ(processes.life_of(id), Life::alive);
    EXPECT_EQ(processes.life_of(earlier), Life::dead);
    EXPECT_EQ(processes.life_of(other_boot), Life::unknown);
    EXPECT_EQ(processes.life_of(ProcessId{}), Life::unknown);
    EXPECT_EQ(processes.life_of(id), Life::alive);
}

class SoManyDescriptors {
public:
    explicit SoManyDescriptors(rlim_t most)
    {
        getrlimit(RLIMIT_NOFILE, &before_);
        const rlimit limit{most, before_.rlim_max};
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    SoManyDescriptors(const SoManyDescriptors&) = delete;
    SoManyDescriptors& operator=(const SoManyDescriptors&) = delete;
    ~SoManyDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

TEST(HeldProcessesTest, NoMoreAreHeldThanTheirShareOfTheDescriptors)
{
    const SoManyDescriptors limited(20 * HeldProcesses::kShareOfDescriptors);
    constexpr std::ptrdiff_t most = 20;
    const std::vector<Paused> children(most + 3);
    const auto before = test::open_descriptors();
    {
        HeldProcesses processes;
        for (int round = 0; round < 2; ++round)
            for (const auto& child : children)
                EXPECT_EQ(processes.life_of(child.id()), Life::alive);
        EXPECT_EQ(test::open_descriptors(), before + most);
        children.front().end();
        children.back().end();
        EXPECT_EQ(processes.life_of(children.front().id()), Life::dead);
        EXPECT_EQ(processes.life_of(children.back().id()), Life::dead);
        EXPECT_EQ(test::open_descriptors(), before + most - 1);
    }
    EXPECT_EQ(test::open_descriptors(), before);
}

TEST(HeldProcessesTest, AProcessThatMayOpenFewHoldsAFew)
{
    const SoManyDescriptors limited(64);
    const std::vector<Paused> children(HeldProcesses::kLeast + 1);
    const auto before = test::open_descriptors();
    HeldProcesses processes;
    for (const auto& child : children)
        EXPECT_EQ(processes.life_of(child.id()), Life::alive);
    EXPECT_EQ(test::open_descriptors(),
              before + static_cast<std::ptrdiff_t>(HeldProcesses::kLeast));
}

}  // namespace
}  // namespace xlstore
