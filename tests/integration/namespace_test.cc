// SPDX-License-Identifier: MIT
// R11: QEMUs of other pid namespaces. Seen from a namespace above they are known, killed and proved
// dead; from elsewhere they are unknown, and unknown is not dead.
#include <signal.h>

#include "store/os/process.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

using std::chrono::seconds;

class NamespaceTest : public testing::Test {
protected:
    void SetUp() override
    {
        if (run({"unshare", "-pf", "--mount-proc", "true"}).status != 0)
            GTEST_SKIP() << "no pid namespaces for this user";
    }
    /// The words of a command in a pid namespace of its own; all in it end with its first process.
    static Words below(const Words& words)
    {
        Words all = {"unshare", "-pf", "--mount-proc", "--kill-child"};
        all.insert(all.end(), words.begin(), words.end());
        return all;
    }
    Words command(const Words& words) const
    {
        Words all = {binary("xlstore"), "--store", store_.path(), "--json"};
        all.insert(all.end(), words.begin(), words.end());
        return all;
    }
    Words creation() { return command(create_words(7, material_, material_.qemu())); }
    std::string state() { return cell("SELECT state FROM domain ORDER BY id DESC LIMIT 1"); }
    Ran xl(const Words& words) { return xlstore(store_.path(), words); }
    Ran fsck(const Words& words) { return xlfsck(store_.path(), words); }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    std::vector<pid_t> qemus() { return qemus_with(store_.directory().path() + "/"); }
    std::string evidence()
    {
        return cell(
            "SELECT evidence FROM history WHERE operation = 'destroy' ORDER BY id DESC "
            "LIMIT 1");
    }

    ScratchStore store_;
    Material material_{store_.directory(), 7, "web"};
};

TEST_F(NamespaceTest, DomainOfAContainerThatHasEndedCanBeGotRidOf)
{
    Words words = {"sh", "-c", "\"$@\"; exit $?", "container"};
    for (const auto& word : creation())
        words.push_back(word);
    ASSERT_TRUE(ended(run(below(words)), 0));
    ASSERT_TRUE(wait_until(seconds(20), [&] { return qemus().empty(); }));
    ASSERT_EQ(state(), "running");

    Words destroy = command({"destroy", "7"});
    const bool sees_all = current_pid_namespace() == 0xEFFFFFFCU;
    if (sees_all) {
        EXPECT_TRUE(ended(fsck({"-p"}), 1)) << "it is proved dead";
        EXPECT_EQ(cell("SELECT qemu_pid IS NULL FROM domain"), "1");
    } else {
        EXPECT_NE(run(destroy).status, 0);
        EXPECT_EQ(state(), "running");
        destroy.emplace_back("--assume-dead");
    }
    EXPECT_TRUE(ended(run(destroy), 0));
    EXPECT_EQ(state(), "destroyed");
    EXPECT_TRUE(ended(xl(create_words(7, material_, material_.qemu())), 0)) << "its domid is free";
}

TEST_F(NamespaceTest, DestroyFromAboveKillsTheQemuOfAContainer)
{
    const auto go = store_.directory() / "go";
    Words words = {"sh", "-c", "\"$@\"; until test -e " + go + "; do sleep 0.05; done",
                   "container"};
    for (const auto& word : creation())
        words.push_back(word);
    const Child container(below(words));
    ASSERT_TRUE(wait_until(seconds(60), [&] { return state() == "running"; }));
    ASSERT_EQ(qemus().size(), 1U);

    EXPECT_TRUE(ended(run(command({"destroy", "7"})), 0));

    EXPECT_TRUE(qemus().empty());
    EXPECT_EQ(state(), "destroyed");
    write_file(go, "");
}

TEST_F(NamespaceTest, DestroyFromWhereQemuIsNotSeenChangesNothing)
{
    ASSERT_TRUE(ended(run(creation()), 0));
    const auto qemu = qemus();
    const auto rows = dump(store_.path());

    const Ran refused = run(below(command({"destroy", "7"})));
    EXPECT_TRUE(ended(refused, 1));
    EXPECT_TRUE(contains(json_at(refused.out, "$.error.advice"), "--assume-dead"));
    const Ran assumed = run(below(command({"destroy", "7", "--assume-dead"})));
    EXPECT_TRUE(ended(assumed, 1));
    EXPECT_TRUE(contains(json_at(assumed.out, "$.error.message"), "a process listens"));

    EXPECT_EQ(dump(store_.path()), rows) << "not marked, so that no recovery kills it";
    EXPECT_TRUE(ended(fsck({"-p"}), 0));
    EXPECT_EQ(qemus(), qemu);
}

TEST_F(NamespaceTest, UnseenQemuIsAssumedDeadOnAPersonsWordAlone)
{
    ASSERT_TRUE(ended(run(creation()), 0));
    kill(qemus().front(), SIGKILL);
    ASSERT_TRUE(wait_until(seconds(20), [&] { return qemus().empty(); }));

    EXPECT_TRUE(ended(run(below(command({"destroy", "7"}))), 1));
    EXPECT_EQ(state(), "running");
    EXPECT_TRUE(ended(run(below(command({"destroy", "7", "--assume-dead"}))), 0));

    EXPECT_EQ(state(), "destroyed");
    EXPECT_TRUE(contains(evidence(), "assumed dead by order"));
}

// The word is not needed where QEMU is seen, and changes nothing there.
TEST_F(NamespaceTest, QemuThatIsSeenIsKilledAndNotAssumedDead)
{
    ASSERT_TRUE(ended(run(creation()), 0));
    EXPECT_TRUE(ended(run(command({"destroy", "7", "--assume-dead"})), 0));
    EXPECT_TRUE(qemus().empty());
    EXPECT_FALSE(contains(evidence(), "assumed"));
}

}  // namespace
}  // namespace xlstore::test
