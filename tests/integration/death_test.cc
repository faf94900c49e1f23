// SPDX-License-Identifier: MIT
// QEMU dies by itself while a real command is at each of its steps.
#include <signal.h>

#include "tests/support/scratch.hpp"
#include "tests/support/stopping.hpp"

namespace xlstore::test {
namespace {

class DeathTest : public testing::Test {
protected:
    Ran xl(const Words& words) { return xlstore(store_.path(), words); }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    std::vector<pid_t> qemus() { return qemus_with(store_.directory().path() + "/"); }
    Words creation() { return create_words(7, material_, material_.qemu()); }

    /// Stops the command at each passing of the point in turn, kills QEMU there, and lets it go on;
    /// `after` looks at what became of it. The number of passings.
    template <class After>
    int each_passing(const std::vector<Words>& before, const Words& words, const std::string& point,
                     After after)
    {
        for (int passing = 1;; ++passing) {
            SCOPED_TRACE(point + ":" + std::to_string(passing));
            for (const auto& command : before)
                EXPECT_TRUE(ended(xl(command), 0));
            Stopping command(store_, words, point, passing);
            const bool stopped = command.stopped();
            // The start barrier is open, and the child may not have become QEMU yet.
            if (stopped && point == "spawn.after_start_barrier") {
                EXPECT_TRUE(wait_until(std::chrono::seconds(20), [&] { return !qemus().empty(); }));
            }
            if (stopped)
                for (const pid_t qemu : qemus())
                    kill(qemu, SIGKILL);
            const Ran ran = command.finish();
            if (stopped) {
                after(ran);
                EXPECT_TRUE(qemus().empty());
                EXPECT_LE(xlfsck(store_.path(), {"-p"}).status, 1);
                EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}), 0));
            }
            xl({"destroy", "7"});
            if (!stopped) return passing - 1;
        }
    }

    ScratchStore store_;
    Material material_{store_.directory(), 7, "web"};
};

// A creation that is reported as done may have lost its QEMU since the last reply that it had, and
// no sooner.
TEST_F(DeathTest, CreationLeavesNothingUnlessItWasOver)
{
    for (const std::string point : {"spawn.after_start_barrier", "qmp.before_connect",
                                    "qmp.before_send", "qmp.before_receive"}) {
        int done = 0;
        EXPECT_GE(each_passing({}, creation(), point,
                               [&](const Ran& ran) {
                                   EXPECT_TRUE(ran.status == 0 || ran.status == 1) << ran.out;
                                   EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state <> "
                                                  "'destroyed'"),
                                             ran.status == 0 ? "1" : "0");
                                   if (ran.status == 0) ++done;
                               }),
                  1);
        EXPECT_LE(done, 1);
    }
}

/// An operation, done, not done or in doubt, as far as QEMU had come: the domain stays, and once
/// recovery has run nothing is pending and nothing is said to be there.
class DeathInOperationTest : public DeathTest {
protected:
    void run(const std::vector<Words>& before, const Words& words)
    {
        std::vector<Words> all = {creation()};
        all.insert(all.end(), before.begin(), before.end());
        for (const std::string point : {"commit.after", "qmp.before_send", "qmp.before_receive"})
            EXPECT_GT(
                each_passing(all, words, point,
                             [&](const Ran& ran) {
                                 EXPECT_TRUE(ran.status == 0 || ran.status == 1 || ran.status == 3)
                                     << ran.out;
                                 EXPECT_EQ(xlfsck(store_.path(), {"-p"}).status, 1);
                                 EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
                                 EXPECT_EQ(cell("SELECT state || (qemu_pid IS NULL) FROM "
                                                "domain ORDER BY id DESC LIMIT 1"),
                                           "running1");
                                 EXPECT_EQ(cell("SELECT count(*) FROM thing WHERE "
                                                "primary_at = 'qemu' AND state <> 'stale'"),
                                           "0");
                             }),
                1);
    }
};

TEST_F(DeathInOperationTest, Attach)
{
    run({}, {"attach", "7", "qemu", tablet("t1")});
}

TEST_F(DeathInOperationTest, Detach)
{
    run({{"attach", "7", "qemu", tablet("t1")}}, {"detach", "7", "qemu", "t1"});
}

TEST_F(DeathInOperationTest, Insert)
{
    run({}, {"insert", "7", "hdc", material_.images['b']});
}

TEST_F(DeathInOperationTest, Batch)
{
    run({}, {"batch", "7", "--all-or-none",
             R"([{"attach":"qemu","thing":)" + tablet("t1") + R"(},{"attach":"qemu","thing":)" +
                 chardev("c1") + "}]"});
}

}  // namespace
}  // namespace xlstore::test
