// SPDX-License-Identifier: MIT
// A document that is closed for a time, on a real QEMU: what would change it is refused, what has
// to pass passes, and it stays closed until it is opened.
#include "store/core/domain.hpp"
#include "store/operation/edit.hpp"
#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

const std::string kNic = R"({"devid":7,"mac":"00:16:3e:00:00:07"})";

class ClosingTest : public DomainTest {
protected:
    Ran close(const Environment& environment = {})
    {
        return xl({"close", "7", "--reason", "it moves to host b"}, environment);
    }
};

TEST_F(ClosingTest, RefusesWhatWouldChangeTheDomainAndSaysByWhomAndHowItIsOpened)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));
    ASSERT_TRUE(ended(close(), 0));
    const std::string since = cell("SELECT replace(closed_since, ' ', 'T') FROM closed_documents");

    const Ran command = xl({"--json", "insert", "7", "hdc", domain_.image('b')});
    EXPECT_TRUE(ended(command, 1));
    EXPECT_EQ(code(command), "refused");
    for (const auto& said :
         {since, std::string("xlstore (pid "), std::string("it moves to host b")})
        EXPECT_TRUE(contains(json_at(command.out, "$.error.message"), said));
    EXPECT_TRUE(contains(json_at(command.out, "$.error.advice"), "xlstore reopen domid:7"));
    refused({"insert", "7", "hdc", domain_.image('b')}, 1, "refused", "closed");
    refused({"eject", "7", "hdc"}, 1, "refused", "closed");
    refused({"attach", "7", "qemu", tablet("t2")}, 1, "refused", "closed");
    refused({"detach", "7", "qemu", "t1"}, 1, "refused", "closed");
    const Ran batch =
        xl({"--json", "batch", "7", R"([{"attach":"qemu","thing":)" + tablet("t3") + "}]"});
    EXPECT_TRUE(ended(batch, 1));
    EXPECT_TRUE(contains(json_at(batch.out, "$.outcomes[0].error.message"), "closed"));
    refused({"soft-reset", "7", "--", "qemu-system-x86_64"}, 1, "refused", "closed");
    refused({"close", "7", "--reason", "again"}, 1, "refused", "closed already");

    ASSERT_TRUE(ended(xl({"reopen", "7"}), 0));
    EXPECT_TRUE(ended(xl({"insert", "7", "hdc", domain_.image('b')}), 0));
    refused({"reopen", "7"}, 1, "refused", "open");
    EXPECT_TRUE(all_is_settled());
}

TEST_F(ClosingTest, RefusesEditsOfThingsOfOtherPrimariesAndLetsANamePass)
{
    const auto store = store_.open();
    const auto row = find_domain(store->db(), "7");
    ASSERT_TRUE(ended(close(), 0));
    const auto edit = [&](const char* what) {
        return store->loop().wait_for(
            store->with_fast_lock(row->id, what, Clock::now() + std::chrono::seconds(10),
                                  [&](const FastHold& fast) -> Result<std::int64_t> {
                                      auto begun = begin_edit(*store, fast, 0);
                                      if (!begun) return begun;
                                      if (auto put = put_thing(*store, fast, "nics", kNic); !put)
                                          return put.error();
                                      return begun;
                                  }));
    };
    const auto put = edit("put");
    ASSERT_FALSE(put);
    EXPECT_EQ(put.error().code, Errc::refused);
    EXPECT_TRUE(contains(put.error().message, "closed"));
    EXPECT_EQ(cell("SELECT count(*) FROM thing WHERE class = 'nics' AND key = '7'"), "0");

    EXPECT_TRUE(ended(xl({"rename", "7", "web--migratedaway"}), 0));

    EXPECT_EQ(cell("SELECT domain FROM closed_documents"), "web--migratedaway");
    ASSERT_TRUE(ended(xl({"reopen", "7"}), 0));
    EXPECT_TRUE(edit("put again"));
}

TEST_F(ClosingTest, StaysClosedWhenItsCloserDiesAndIsNamedWithTheWayOut)
{
    for (int passing = 1; cell("SELECT count(*) FROM closed_documents") == "0"; ++passing)
        ASSERT_TRUE(ended(close(crash_at("commit.after", passing)), kKilled));

    refused({"eject", "7", "hdc"}, 1, "refused", "it moves to host b");
    const Ran preened = fsck({"-p"});
    EXPECT_TRUE(preened.status <= 1) << preened.out;
    EXPECT_TRUE(contains(fsck({"-n"}).out, "xlstore reopen domid:7"));
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    EXPECT_EQ(json_at(xl({"--json", "show", "7"}).out, "$.closed_reason"), "it moves to host b");
    EXPECT_TRUE(contains(xl({"list"}).out, "running, closed"));
    refused({"eject", "7", "hdc"}, 1, "refused", "closed");
    EXPECT_TRUE(ended(xl({"reopen", "7"}), 0));
    EXPECT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
}

TEST_F(ClosingTest, WaitsForNothingThatIsOpen)
{
    ASSERT_TRUE(ended(xl({"eject", "7", "hdc"}, crash_at("commit.after", 2)), kKilled));
    const auto intent = cell("SELECT id FROM intent");
    ASSERT_NE(intent, "");

    refused({"close", "7", "--reason", "move"}, 1, "busy", "open intent");

    EXPECT_EQ(json_at(xl({"--json", "close", "7", "--reason", "move"}).out, "$.error.intent"),
              intent);
    ASSERT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_TRUE(ended(close(), 0));
}

TEST_F(ClosingTest, DestructionAndRecoveryPass)
{
    ASSERT_TRUE(ended(close(), 0));
    const std::string judge = domain_.judge();
    ASSERT_TRUE(contains(
        qmp(judge, "device_add", R"({"driver":"usb-tablet","id":"other","bus":"xenusb-0.0"})"),
        "return"));
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_EQ(cell("SELECT count(*) FROM thing WHERE key LIKE '%other%' AND state = 'present'"),
              "1");

    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));

    EXPECT_EQ(cell("SELECT count(*) FROM closed_documents"), "0");
    EXPECT_FALSE(is_alive(domain_.qemu_pid()));
}

// What no entry has is adopted (R1); taking it out of the guest has to wait.
TEST_F(ClosingTest, NothingIsEvictedFromAClosedDocument)
{
    ASSERT_TRUE(ended(close(), 0));
    ASSERT_TRUE(contains(qmp(domain_.judge(), "device_add",
                             R"({"driver":"usb-tablet","id":"hot","bus":"xenusb-0.0"})"),
                         "return"));
    const Ran ran = fsck({"-y", "--evict"});
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_TRUE(contains(ran.out, "ADOPTED"));
    EXPECT_EQ(entry("hot"), "present");
    EXPECT_EQ(domain_.devices(), "hot ide-5632 xenusb-0");
    ASSERT_TRUE(ended(xl({"reopen", "7"}), 0));
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "hot"}), 0));
}

TEST_F(ClosingTest, AReasonIsOneLineAndRequired)
{
    EXPECT_TRUE(ended(xl({"close", "7"}), 2));
    EXPECT_TRUE(ended(xl({"close", "7", "--reason", ""}), 2));
    for (const auto& reason : {std::string("a\nb"), std::string(201, 'x'), std::string("\xff")})
        refused({"close", "7", "--reason", reason}, 1, "invalid", "reason");
}

}  // namespace
}  // namespace xlstore::test
