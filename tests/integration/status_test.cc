// SPDX-License-Identifier: MIT
// 'xlstore status' on a real QEMU: what it does now, not what was committed.
#include <signal.h>

#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

class StatusTest : public DomainTest {
protected:
    Ran status(Words more = {})
    {
        more.insert(more.begin(), "status");
        return xl(more);
    }
    std::string fact(const std::string& path) { return json_at(xl({"--json", "status"}).out, path); }
};

TEST_F(StatusTest, AllIsWell)
{
    const Ran page = status();
    EXPECT_TRUE(ended(page, 0));
    EXPECT_TRUE(contains(page.out, "health   all is well\n"));
    EXPECT_TRUE(contains(page.out, "domains  1 domain: 1 prelaunch\n")) << "it was begun with -S";
    EXPECT_TRUE(contains(page.out, " UTC\n"));
    const Ran line = status({"-x"});
    EXPECT_TRUE(ended(line, 0));
    EXPECT_EQ(line.out.rfind("all is well: 1 domain, looked at ", 0), 0U) << line.out;
    EXPECT_EQ(fact("$.domains[0].answer"), "answered");
}

TEST_F(StatusTest, SaysWhatQemuDoesNow)
{
    ASSERT_TRUE(contains(qmp(domain_.judge(), "cont"), "return"));
    EXPECT_EQ(fact("$.domains[0].run_state"), "running");
    ASSERT_TRUE(contains(qmp(domain_.judge(), "stop"), "return"));
    EXPECT_EQ(fact("$.domains[0].run_state"), "paused");
    EXPECT_TRUE(contains(status().out, "1 domain: 1 paused"));
}

TEST_F(StatusTest, StoppedQemuIsIllAndCostsItsOwnTimeAlone)
{
    ASSERT_EQ(kill(domain_.qemu_pid(), SIGSTOP), 0);
    const Ran page = xl({"--timeout", "0.3", "status", "-x"});
    EXPECT_TRUE(ended(page, 1));
    EXPECT_TRUE(contains(page.out, "stopped by a signal"));
    EXPECT_TRUE(contains(page.out, "'kill -CONT " + std::to_string(domain_.qemu_pid()) + "'"));
    ASSERT_EQ(kill(domain_.qemu_pid(), SIGCONT), 0);
    EXPECT_TRUE(ended(status({"-x"}), 0)) << "the advice helps";
}

TEST_F(StatusTest, DeadQemuIsIll)
{
    ASSERT_EQ(kill(domain_.qemu_pid(), SIGKILL), 0);
    ASSERT_TRUE(wait_until(std::chrono::seconds(20),
                           [&] { return !is_alive(domain_.qemu_pid()); }));
    const Ran page = status();
    EXPECT_TRUE(ended(page, 1));
    EXPECT_TRUE(contains(page.out, "is dead"));
    EXPECT_EQ(fact("$.health"), "ill");
}

TEST_F(StatusTest, IntentOfADeadProcessIsIllUntilItIsRepaired)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t")}, crash_at("commit.before", 3)),
                      kKilled));
    const Ran page = status();
    EXPECT_TRUE(ended(page, 1));
    EXPECT_TRUE(contains(page.out, "is gone since"));
    EXPECT_TRUE(contains(page.out, "(gone)"));
    EXPECT_TRUE(contains(page.out, "'xlfsck -p'"));
    EXPECT_EQ(fact("$.intents[0].owner_lives"), "0");
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_TRUE(ended(status({"-x"}), 0)) << "the advice helps";
}

TEST_F(StatusTest, LooksAndWritesNothing)
{
    const auto rows = dump(store_.path());
    const auto qemu = state_of(domain_.judge());
    EXPECT_TRUE(ended(status(), 0));
    EXPECT_TRUE(ended(status({"--metrics"}), 0));
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_EQ(state_of(domain_.judge()), qemu);
}

}  // namespace
}  // namespace xlstore::test
