// SPDX-License-Identifier: MIT
// Batches on a real QEMU: each request with its own outcome, or all done or none.
#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

class BatchTest : public DomainTest {
protected:
    Ran batch(const std::string& requests, const Words& more = {},
              const Environment& environment = {})
    {
        Words words = {"--json", "batch", "7", requests};
        words.insert(words.end(), more.begin(), more.end());
        return xl(words, environment);
    }
    /// "done, not done, …"
    static std::string outcomes(const Ran& ran)
    {
        std::string text;
        for (int i = 0;; ++i) {
            const auto one = json_at(ran.out, "$.outcomes[" + std::to_string(i) + "].outcome");
            if (one.empty()) return text;
            text += (text.empty() ? "" : ", ") + one;
        }
    }
    static std::string add(const std::string& thing)
    {
        return R"({"attach":"qemu","thing":)" + thing + "}";
    }
};

TEST_F(BatchTest, EachRequestHasItsOwnOutcome)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", chardev("old")}), 0));
    const Ran ran =
        batch("[" + add(tablet("t1")) + "," + add(tablet("t1 no id")) + "," +
              R"({"detach":"qemu","key":"old"},{"insert":"hdc","file":")" + domain_.image('b') +
              R"("},{"eject":"hdz"},{"attach":"qemu","thing":{}},)" + add(chardev("c1")) + "]");
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(json_at(ran.out, "$.result"), "not done");
    EXPECT_EQ(outcomes(ran), "done, not done, done, done, not done, not done, done");
    EXPECT_EQ(json_at(ran.out, "$.outcomes[1].error.code"), "refused");
    EXPECT_EQ(json_at(ran.out, "$.outcomes[4].error.code"), "not_found");
    EXPECT_EQ(json_at(ran.out, "$.outcomes[5].error.code"), "invalid");
    EXPECT_EQ(json_at(ran.out, "$.outcomes[0].thing"), "qemu/t1");
    EXPECT_TRUE(contains(domain_.devices(), "t1"));
    EXPECT_EQ(domain_.medium(), domain_.image('b'));
    EXPECT_EQ(entry("old"), "");
    EXPECT_EQ(entry("c1"), "present");
    EXPECT_TRUE(all_is_settled());
}

TEST_F(BatchTest, TextNamesEachOutcomeOnALine)
{
    const Ran ran = xl({"batch", "7", "[" + add(tablet("t1")) + R"(,{"eject":"hdz"}])"});
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_TRUE(contains(ran.out, "1 attach qemu/t1: done\n2 eject disks/hdz: not done: "));
    EXPECT_TRUE(ended(xl({"batch", "7", R"([{"detach":"qemu","key":"t1"}])"}), 0));
}

TEST_F(BatchTest, BadBatchesAreRefusedWhole)
{
    const struct {
        std::string requests;
        const char* said;
    } cases[] = {
        {"{}", "array"},
        {"[]", "no request"},
        {"[1]", "request 1"},
        {R"([{"eject":"hdc"},{}])", "request 2"},
        {R"([{"eject":7}])", "eject"},
        {R"([{"eject":"hdc","file":"x"}])", "file"},
        {R"([{"insert":"hdc"}])", "file"},
        {R"([{"detach":"qemu"}])", "key"},
        {R"([{"attach":"qemu"}])", "thing"},
        {R"([{"eject":"hdc"},{"insert":"hdc","file":"/x"}])", "before it"},
        {R"([{"eject":"hdc"})", "1:"},
    };
    for (const auto& one : cases)
        refused({"batch", "7", one.requests}, 1, "invalid", one.said);
    refused({"batch", "7", R"([{"eject":"hdc"}])", "--all-or-none"}, 1, "invalid", "attaches");
    refused({"batch", "7", "[" + add(tablet("t1")) + "," + add("{}") + "]", "--all-or-none"}, 1,
            "invalid", "request 2");
    refused({"batch", "8", "[" + add(tablet("t1")) + "]"}, 4, "not_found", "8");
}

TEST_F(BatchTest, AllAreDone)
{
    const Ran ran =
        batch("[" + add(tablet("t1")) + "," + add(chardev("c1")) + "," + add(tablet("t2")) + "]",
              {"--all-or-none"});
    EXPECT_TRUE(ended(ran, 0));
    EXPECT_EQ(outcomes(ran), "done, done, done");
    EXPECT_NE(json_at(ran.out, "$.outcomes[0].intent"), json_at(ran.out, "$.outcomes[1].intent"));
    EXPECT_EQ(cell("SELECT count(*) FROM thing WHERE class = 'qemu' AND state = 'present'"), "3");
    EXPECT_TRUE(all_is_settled());
}

TEST_F(BatchTest, NoneIsDoneWhenOneIsRefused)
{
    const auto initial = state_of(domain_.judge());
    const auto rows = cell("SELECT count(*) FROM thing");
    const Ran ran = batch(
        "[" + add(chardev("c1")) + "," + add(tablet("t1")) + "," + add(tablet("no good id")) + "]",
        {"--all-or-none"});
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(outcomes(ran), "not done, not done, not done");
    EXPECT_EQ(json_at(ran.out, "$.outcomes[0].error.code"), "refused");
    EXPECT_EQ(state_of(domain_.judge()), initial);
    EXPECT_EQ(cell("SELECT count(*) FROM thing"), rows);
    EXPECT_EQ(cell("SELECT count(*) FROM history WHERE outcome = 'not done'"), "3");
    EXPECT_TRUE(all_is_settled());
}

// A device that only its guest can give back: to be undone it waits for that, as a removal does.
TEST_F(BatchTest, UndoMayHaveToWaitForTheGuest)
{
    const std::string rng = R"({"key":"rng","steps":[{"execute":"device_add","arguments":)"
                            R"({"driver":"virtio-rng-pci","id":"rng"}}]})";
    const Ran ran = batch("[" + add(rng) + "," + add(tablet("no good id")) + "]",
                          {"--all-or-none", "--timeout", "1"});
    EXPECT_TRUE(ended(ran, 3));
    EXPECT_EQ(outcomes(ran), "in doubt, in doubt");
    EXPECT_TRUE(contains(json_at(ran.out, "$.outcomes[0].error.message"), "no good id"));
    EXPECT_TRUE(contains(json_at(ran.out, "$.outcomes[0].error.message"), "waiting for the guest"));
    EXPECT_EQ(cell("SELECT count(*) FROM intent WHERE asked_us IS NOT NULL"), "2");
    EXPECT_TRUE(invariant_holds(store_.path(), domain_.judge()));
    EXPECT_TRUE(ended(fsck({"-n"}), 2));
    EXPECT_EQ(fsck({"-p"}).status & ~1, 2);
    ASSERT_TRUE(contains(qmp(domain_.judge(), "system_reset"), "return"));
    ASSERT_TRUE(wait_until(std::chrono::seconds(20),
                           [&] { return domain_.devices().find("rng") == std::string::npos; }));
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_EQ(entry("rng"), "");
    EXPECT_TRUE(all_is_settled());
}

// R18: a toolstack whose batch was cut short gives it again. What is there, is not "not done".
TEST_F(BatchTest, GivenAgainIsDoneWhereItIsThereAlready)
{
    const std::string requests = "[" + add(tablet("t1")) + "," + add(chardev("c1")) + "]";
    for (int n = 1; entry("t1") != "present"; ++n)
        ASSERT_TRUE(ended(batch(requests, {}, crash_at("commit.after", n)), kKilled));
    ASSERT_NE(entry("c1"), "present") << "it died between its members";
    const Ran again = batch(requests);
    EXPECT_TRUE(ended(again, 0));
    EXPECT_EQ(outcomes(again), "done, done");
    EXPECT_TRUE(contains(again.out, "it was there already"));
    EXPECT_TRUE(contains(domain_.devices(), "t1"));

    const auto rows = dump(store_.path());
    for (const Words& more : {Words{}, Words{"--all-or-none"}}) {
        const Ran whole = batch(requests, more);
        EXPECT_TRUE(ended(whole, 0));
        EXPECT_EQ(outcomes(whole), "done, done");
        EXPECT_EQ(json_at(whole.out, "$.outcomes[0].intent"), "") << "it needed none";
    }
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_TRUE(all_is_settled());
}

// What all-or-none had begun and each for itself asks for again is one batch still; and what is there
// as something else is refused, as a single attach is.
TEST_F(BatchTest, OfAnotherKindGivenAgainIsDoneTooAndAnotherElementIsRefused)
{
    const std::string requests = "[" + add(tablet("t1")) + "," + add(chardev("c1")) + "]";
    Ran killed;
    int n = 1;
    do
        killed = batch(requests, {"--all-or-none"}, crash_at("qmp.after_receive", n++));
    while (killed.status == kKilled && !contains(domain_.devices(), "t1"));
    ASSERT_TRUE(ended(killed, kKilled));
    (void)fsck({"-p"});
    const Ran again = batch(requests);
    EXPECT_TRUE(ended(again, 0));
    EXPECT_EQ(outcomes(again), "done, done");
    std::string other = tablet("t1");
    const std::string bus = R"(,"bus":"xenusb-0.0")";
    other.erase(other.find(bus), bus.size());
    const Ran refusal = batch("[" + add(other) + "," + add(chardev("c1")) + "]");
    EXPECT_TRUE(ended(refusal, 1));
    EXPECT_EQ(outcomes(refusal), "not done, done");
    EXPECT_EQ(json_at(refusal.out, "$.outcomes[0].error.code"), "exists");
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 1)) << "R16";
}

// Two members want the same id in QEMU: found before anything is sent.
TEST_F(BatchTest, MembersMayNotShareAnId)
{
    std::string other = tablet("t1");
    other.replace(other.find("t1"), 2, "t2");  // its key alone
    const auto rows = dump(store_.path());
    const Ran ran = batch("[" + add(tablet("t1")) + "," + add(other) + "]", {"--all-or-none"});
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(json_at(ran.out, "$.outcomes[0].error.code"), "exists");
    EXPECT_EQ(dump(store_.path()), rows);
}

// Wherever it dies: before recovery the invariant holds, after it all of the batch is there or
// none.
TEST_F(BatchTest, AllOrNoneSurvivesACrashAnywhere)
{
    const std::string requests =
        "[" + add(chardev("c1")) + "," + add(tablet("t1")) + "," + add(chardev("c2")) + "]";
    int undone = 0;
    Ran ran;
    for (int n = 1; ran.status != 0; ++n) {
        SCOPED_TRACE(n);
        ran = batch(requests, {"--all-or-none"}, crash_at("qmp.after_receive", n));
        if (ran.status == 0) break;
        ASSERT_TRUE(ended(ran, kKilled));
        EXPECT_TRUE(invariant_holds(store_.path(), domain_.judge()));
        const auto intents = cell("SELECT count(*) FROM intent");
        if (intents != "0") {
            EXPECT_EQ(intents, "3");
            EXPECT_EQ(cell("SELECT count(DISTINCT batch) FROM intent"), "1");
        }
        EXPECT_TRUE(ended(fsck({"-p"}), 1));  // the dead session at least
        const auto there = cell("SELECT count(*) FROM thing WHERE class = 'qemu'");
        EXPECT_TRUE(there == "0" || there == "3") << there;
        if (intents != "0" && there == "0") ++undone;
        ASSERT_TRUE(all_is_settled());
        if (there == "3") {  // killed after the last step
            ASSERT_TRUE(ended(xl({"batch", "7",
                                  R"([{"detach":"qemu","key":"c1"},{"detach":"qemu","key":"t1"},)"
                                  R"({"detach":"qemu","key":"c2"}])"}),
                              0));
        }
    }
    EXPECT_GE(undone, 2);
}

// The next operation on one of its members settles the whole batch.
TEST_F(BatchTest, NextOperationOnAMemberSettlesTheBatch)
{
    const std::string requests = "[" + add(chardev("c1")) + "," + add(chardev("c2")) + "]";
    Ran killed;
    int n = 1;
    do
        killed = batch(requests, {"--all-or-none"}, crash_at("qmp.after_receive", n++));
    while (killed.status == kKilled && cell("SELECT count(*) FROM intent") == "0");
    ASSERT_EQ(cell("SELECT count(*) FROM intent"), "2");
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", chardev("c2")}), 0));
    EXPECT_EQ(entry("c1"), "");
    EXPECT_EQ(entry("c2"), "present");
    EXPECT_TRUE(all_is_settled());
}

}  // namespace
}  // namespace xlstore::test
