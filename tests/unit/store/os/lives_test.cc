// SPDX-License-Identifier: MIT
// life_of() of many at once.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/os/process.hpp"

namespace xlstore {
namespace {

// A process that has ended and been reaped.
ProcessId dead_process()
{
    int gate[2];
    EXPECT_EQ(pipe(gate), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        char byte = 0;
        close(gate[1]);
        (void)!read(gate[0], &byte, 1);
        _exit(0);
    }
    const auto id = identify(pid);
    EXPECT_TRUE(id);
    close(gate[0]);
    close(gate[1]);
    EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
    return id ? *id : ProcessId{};
}

// R11
TEST(LivesTest, OfManyEachIsWhatALookAtItAloneSays)
{
    const ProcessId self = *identify(getpid());
    ProcessId passed_on = self;  // that pid is another process's now
    passed_on.start_time -= 1;
    ProcessId other_boot = self;
    other_boot.boot_id = "00000000-0000-0000-0000-000000000000";
    ProcessId other_namespace = self;
    other_namespace.pid_namespace += 1;

    const std::vector<ProcessId> ids = {self,       dead_process(),  passed_on,
                                        other_boot, other_namespace, ProcessId{}};
    const auto lives = lives_of(ids);

    ASSERT_EQ(lives.size(), ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i)
        EXPECT_EQ(lives[i], life_of(ids[i])) << i;
    EXPECT_EQ(lives[0], Life::alive);
    EXPECT_EQ(lives[1], Life::dead);
    EXPECT_EQ(lives[2], Life::dead);
    EXPECT_EQ(lives[3], Life::unknown);
    EXPECT_EQ(lives[5], Life::unknown);
}

TEST(LivesTest, OfNoneThereIsNone)
{
    EXPECT_TRUE(lives_of({}).empty());
}

}  // namespace
}  // namespace xlstore
