// SPDX-License-Identifier: MIT
#include "store/testing/crash_point.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <set>

namespace xlstore {
namespace {

/// Is the name in the table, as the compiler sees it?
template <std::size_t Row>
constexpr bool kIsRow = Row < std::size(kCrashPoints);
static_assert(kIsRow<crash_point_row("spawn.before_fork")>);
static_assert(crash_point_row("commit.after") != crash_point_row("commit.before"));

/// The wait status of a child that passes spawn.before_start_barrier `passings` times, with `wish`
/// asked for; it exits with 0 if it survives.
int pass_in_child(const char* wish, int passings, const char* variable = "XLSTORE_CRASH_AT")
{
    const pid_t child = fork();
    if (child == 0) {
        const rlimit no_core{0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        setenv(variable, wish, 1);
        XLSTORE_CRASH_POINT("spawn.after_start_barrier");
        for (int i = 0; i < passings; ++i)
            XLSTORE_CRASH_POINT("spawn.before_start_barrier");
        _exit(0);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, WUNTRACED), child);
    if (WIFSTOPPED(status)) {
        int end = -1;
        kill(child, SIGCONT);
        EXPECT_EQ(waitpid(child, &end, 0), child);
        EXPECT_EQ(end, 0) << "it did not go on to its end";
    }
    return status;
}

bool killed_by(int status, int signal)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

TEST(CrashPointTest, NamesAreListedOnceEach)
{
    const auto names = crash_points();
    EXPECT_EQ(std::set(names.begin(), names.end()).size(), names.size());
    EXPECT_TRUE(std::ranges::count(names, "spawn.before_fork"));
    EXPECT_TRUE(std::ranges::count(names, "destroy.after_unlink"));
}

TEST(CrashPointTest, KillsAtTheNamedPassingAndNotBefore)
{
    if (!crash_points_active()) GTEST_SKIP() << "built without crash points";
    EXPECT_TRUE(killed_by(pass_in_child("spawn.before_start_barrier", 1), SIGKILL));
    EXPECT_TRUE(killed_by(pass_in_child("spawn.before_start_barrier:3", 3), SIGKILL));
    EXPECT_EQ(pass_in_child("spawn.before_start_barrier:3", 2), 0);
    EXPECT_EQ(pass_in_child("commit.before", 3), 0) << "another point";
    EXPECT_EQ(pass_in_child("", 3), 0);
}

TEST(CrashPointTest, StopsAtTheNamedPassingAndGoesOn)
{
    if (!crash_points_active()) GTEST_SKIP() << "built without crash points";
    EXPECT_TRUE(WIFSTOPPED(pass_in_child("spawn.before_start_barrier:3", 3, "XLSTORE_STOP_AT")));
    EXPECT_EQ(pass_in_child("spawn.before_start_barrier:3", 2, "XLSTORE_STOP_AT"), 0);
    EXPECT_TRUE(WIFSTOPPED(pass_in_child(
        "commit.after,spawn.before_start_barrier:2,qmp.before_send:7", 3, "XLSTORE_STOP_AT")));
    EXPECT_TRUE(killed_by(pass_in_child("commit.after,misspelt", 3, "XLSTORE_STOP_AT"), SIGABRT));
    EXPECT_TRUE(killed_by(pass_in_child("spawn.befor_gate", 3, "XLSTORE_STOP_AT"), SIGABRT));
}

TEST(CrashPointTest, CountsThePassingsOfOneProcessOnly)
{
    if (!crash_points_active()) GTEST_SKIP() << "built without crash points";
    XLSTORE_CRASH_POINT("spawn.before_start_barrier");
    EXPECT_TRUE(killed_by(pass_in_child("spawn.before_start_barrier", 1), SIGKILL));
}

// A harness that misspells a name would test nothing, and pass.
TEST(CrashPointTest, WishThatNamesNoPointAborts)
{
    if (!crash_points_active()) GTEST_SKIP() << "built without crash points";
    for (const char* wish :
         {"spawn.befor_gate", "spawn.before_start_barrier:", "spawn.before_start_barrier:0",
          "spawn.before_start_barrier:1x", "spawn.before_start_barrier:-1"})
        EXPECT_TRUE(killed_by(pass_in_child(wish, 3), SIGABRT)) << wish;
}

TEST(CrashPointTest, IsNoCodeWithoutTheBuildOption)
{
    if (crash_points_active()) GTEST_SKIP() << "built with crash points";
    EXPECT_EQ(pass_in_child("spawn.before_start_barrier", 1), 0);
}

}  // namespace
}  // namespace xlstore
