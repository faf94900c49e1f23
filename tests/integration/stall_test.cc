// SPDX-License-Identifier: MIT
// QEMU is stopped while a real command is at each of its steps, and goes on when no client waits for
// it any more.
#include <signal.h>

#include <sstream>

#include "tests/support/domain_test.hpp"
#include "tests/support/stopping.hpp"

namespace xlstore::test {
namespace {

const Words kDetach = {"detach", "7", "qemu", "t1"};

/// Each step of an operation at which its intent is open already: the command stops before it
/// sends, QEMU is stopped, the command goes on.
class StallTest : public DomainTest {
protected:
    Words attach() { return {"attach", "7", "qemu", tablet("t1")}; }
    Words insert() { return {"insert", "7", "hdc", domain_.image('b')}; }
    Words eject() { return {"eject", "7", "hdc"}; }
    Words batch()
    {
        return {"batch", "7", "--all-or-none",
                R"([{"attach":"qemu","thing":)" + tablet("t1") + R"(},{"attach":"qemu","thing":)" +
                    chardev("c1") + "}]"};
    }
    Words take_back()
    {
        return {"batch", "7", R"([{"detach":"qemu","key":"t1"},{"detach":"qemu","key":"c1"}])"};
    }

    /// `meet` gets the command, which runs, beside the stopped QEMU; `back` takes back what the
    /// operation did.
    template <class Meet>
    void each_step(const Words& words, const Words& back, const Environment& environment, Meet meet)
    {
        int steps = 0;
        for (int passing = 1;; ++passing) {
            SCOPED_TRACE("qmp.before_send:" + std::to_string(passing));
            Environment all = environment;
            for (auto& [name, value] : all)
                value += ":" + std::to_string(passing);
            all["XLSTORE_STOP_AT"] = "qmp.before_send:" + std::to_string(passing);
            Words command = {binary("xlstore"), "--store", store_.path(), "--timeout", "1"};
            command.insert(command.end(), words.begin(), words.end());
            Child client(command, all);
            if (!stops(client)) break;
            if (cell("SELECT count(*) FROM intent") == "0") continue;
            ++steps;
            kill(domain_.qemu_pid(), SIGSTOP);
            client.signal(SIGCONT);
            meet(client);
            EXPECT_TRUE(is_alive(domain_.qemu_pid()));
            EXPECT_TRUE(invariant_holds(store_.path(), domain_.judge()));
            EXPECT_TRUE(all_is_settled());
            xl(back);  // if it came about
        }
        EXPECT_GT(steps, 0);
    }

    /// Pass 5 would put right what pass 4 got wrong, and hide it. (That there is no xenstore is its
    /// only word.)
    static void settled_by_intents_alone(const std::string& findings)
    {
        EXPECT_TRUE(contains(findings, R"("code":4)"));
        std::istringstream lines(findings);
        for (std::string line; std::getline(lines, line);)
            EXPECT_TRUE(!line.starts_with(R"({"code":5)") || contains(line, "xenstore_absent"))
                << findings;
    }

    /// Dies once it has sent; recovery is connecting when QEMU, which has yet to read it, goes on.
    void killed_once_it_has_sent(const Words& words, const Words& back)
    {
        each_step(words, back, {{"XLSTORE_CRASH_AT", "qmp.after_send"}}, [&](Child& client) {
            EXPECT_EQ(client.wait(), kKilled);
            const auto out = store_.directory() / "recovery.out";
            Child recovery({"sh", "-c", "exec \"$@\" > \"$0\"", out, binary("xlfsck"), "--store",
                            store_.path(), "-p", "--json", "--timeout", "60"},
                           {{"XLSTORE_STOP_AT", "qmp.after_connect"}});
            EXPECT_TRUE(stops(recovery));
            kill(domain_.qemu_pid(), SIGCONT);
            recovery.signal(SIGCONT);
            EXPECT_EQ(recovery.wait(), 1);
            settled_by_intents_alone(read_file(out));
        });
    }
};

TEST_F(StallTest, RecoveryLooksBehindWhatADeadClientSentOfAnAttach)
{
    killed_once_it_has_sent(attach(), kDetach);
}

TEST_F(StallTest, RecoveryLooksBehindWhatADeadClientSentOfADetach)
{
    ASSERT_TRUE(ended(xl(attach()), 0));
    killed_once_it_has_sent(kDetach, attach());
}

TEST_F(StallTest, RecoveryLooksBehindWhatADeadClientSentOfAnInsert)
{
    ASSERT_TRUE(ended(xl(eject()), 0));
    killed_once_it_has_sent(insert(), eject());
}

TEST_F(StallTest, RecoveryLooksBehindWhatADeadClientSentOfABatch)
{
    killed_once_it_has_sent(batch(), take_back());
}

// Its own deadline ends the wait, and what it does not know it leaves to recovery.
TEST_F(StallTest, ClientGivesUpAndTheIntentStays)
{
    each_step(insert(), {"insert", "7", "hdc", domain_.image('a')}, {}, [&](Child& client) {
        EXPECT_EQ(client.wait(), 3);
        EXPECT_EQ(cell("SELECT count(*) FROM intent"), "1");
        kill(domain_.qemu_pid(), SIGCONT);
        const Ran recovery = fsck({"-p", "--json"});
        EXPECT_TRUE(ended(recovery, 1));
        settled_by_intents_alone(recovery.out);
    });
}

// The process is killed before it settles what QEMU has done. The same, asked for again while QEMU
// answers nothing, cannot be not done (R18); another request can.
TEST_F(StallTest, AskedAgainOfASilentQemuIsInDoubtWithItsNumber)
{
    const Words batch_of_one = {"batch", "7",
                                R"([{"attach":"qemu","thing":)" + tablet("t1") + "}]"};
    for (const Words& words : {insert(), attach(), kDetach, batch_of_one, batch()}) {
        SCOPED_TRACE(words[0] + " " + words[2]);
        if (words == kDetach) {
            ASSERT_TRUE(ended(xl(attach()), 0));
        }
        ASSERT_TRUE(ended(xl(words, crash_at("commit.before", 3)), kKilled));
        const auto intent = R"("intent":)" + cell("SELECT min(id) FROM intent") + "}";
        const auto rows = dump(store_.path());
        kill(domain_.qemu_pid(), SIGSTOP);
        Words again = {"--json", "--timeout", "1"};
        again.insert(again.end(), words.begin(), words.end());
        const Ran same = xl(again);
        EXPECT_TRUE(ended(same, 3));
        EXPECT_TRUE(contains(same.out, R"("code":"in_doubt")")) << same.out;
        EXPECT_TRUE(contains(same.out, intent)) << same.out;
        const Ran other = xl({"--json", "--timeout", "1", "attach", "7", "qemu", tablet("t2")});
        EXPECT_TRUE(ended(other, 1));
        EXPECT_EQ(code(other), "timeout") << other.out;
        EXPECT_EQ(dump(store_.path()), rows);
        kill(domain_.qemu_pid(), SIGCONT);
        EXPECT_TRUE(ended(xl(words), 0)) << "what becomes of it is the answer of both";
        EXPECT_TRUE(all_is_settled());
        xl(take_back());
    }
}

}  // namespace
}  // namespace xlstore::test
