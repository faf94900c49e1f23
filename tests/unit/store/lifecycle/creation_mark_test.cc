// SPDX-License-Identifier: MIT
#include "store/lifecycle/creation_mark.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <string>

#include "tests/support/command.hpp"

namespace xlstore {
namespace {

constexpr std::chrono::seconds kLimit{10};
constexpr int kLimitMs = 10000;

// A program that has forked on and on: each process of it but the last is gone soon after it is
// listed, and the last is in no listing that was made before.
TEST(CreationMark, FindsAProcessThatIsForkedWhileItLooks)
{
    const std::string mark = "forks-" + std::to_string(getpid());
    test::Child first({"python3", "-c",
                       "import os, time\n"
                       "for i in range(300):\n"
                       "    if os.fork(): os._exit(0)\n"
                       "time.sleep(60)\n"},
                      {{"XLSTORE_CREATION", mark}});
    first.wait();
    Loop loop;

    auto found = loop.wait_for(find_marked(loop, mark, Clock::now() + kLimit));

    ASSERT_TRUE(found.has_value());
    // It may be one of those that go: then a later one is found, and in the end the last.
    while (found) {
        (void)found->process.send_signal(SIGKILL);
        ASSERT_TRUE(found->process.ended_within(kLimitMs));
        found = loop.wait_for(find_marked(loop, mark, Clock::now() + kLimit));
    }
}

// exec takes the old environment away before it shows the new one.
TEST(CreationMark, FindsAProcessThatStartsAnotherProgramWhileItLooks)
{
    const std::string mark = "execs-" + std::to_string(getpid());
    const test::Child child({"sh", "-c",
                             "n=${1:-400}; [ $n -gt 0 ] && exec sh -c \"$0\" \"$0\" $((n - 1)); "
                             "exec sleep 60",
                             "n=${1:-400}; [ $n -gt 0 ] && exec sh -c \"$0\" \"$0\" $((n - 1)); "
                             "exec sleep 60"},
                            {{"XLSTORE_CREATION", mark}});
    Loop loop;

    for (int looks = 0; looks < 40; ++looks) {
        const auto found = loop.wait_for(find_marked(loop, mark, Clock::now() + kLimit));
        ASSERT_TRUE(found.has_value()) << looks;
        EXPECT_EQ(found->pid, child.pid());
    }
}

TEST(CreationMark, NoProcessThatBearsAnotherMarkIsFound)
{
    const std::string mark = "other-" + std::to_string(getpid());
    const test::Child child({"sleep", "60"}, {{"XLSTORE_CREATION", mark + "x"}});
    Loop loop;

    EXPECT_FALSE(loop.wait_for(find_marked(loop, mark, Clock::now() + kLimit)).has_value());
}

}  // namespace
}  // namespace xlstore
