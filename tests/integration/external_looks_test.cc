// SPDX-License-Identifier: MIT
// The store says what is there after a client's calls, and follows it. Also after the client died.
#include <signal.h>
#include <unistd.h>

#include "tests/integration/external_client.hpp"

namespace xlstore::test {
namespace {

using std::string;

class ExternalLooksTest : public ExternalClientTest {};

TEST_F(ExternalLooksTest, WhatTheOtherToolstackDidIsSeen)
{
    const auto intent = intend(XLSTORE_CHANGE, "disks", "hdc", disk(domain_.image('b')));
    put_in(domain_.image('b'));
    EXPECT_EQ(settle(intent), XLSTORE_SEEN_AFTER);
    EXPECT_EQ(status_, XLSTORE_OK);
    EXPECT_EQ(cell("SELECT json ->> 'pdev_path' FROM thing WHERE key = 'hdc'"), domain_.image('b'));
    EXPECT_TRUE(all_is_settled());
}

TEST_F(ExternalLooksTest, SuccessWithoutAnEffectIsNotBelieved)
{
    const auto intent = intend(XLSTORE_ADD, "usbctrls", nullptr, kController);
    EXPECT_EQ(settle(intent), XLSTORE_SEEN_BEFORE);
    EXPECT_EQ(status_, XLSTORE_OK);
    EXPECT_EQ(entry("5"), "");
    EXPECT_TRUE(all_is_settled());
}

TEST_F(ExternalLooksTest, ThingIsKeptAsTheOtherToolstackSavedIt)
{
    const char* saved = R"({"type":"devicemodel","devid":5,"version":3,"ports":15})";
    const auto intent = intend(XLSTORE_ADD, "usbctrls", nullptr, kController);
    add_controller("xenusb-5");
    EXPECT_EQ(settle(intent, saved), XLSTORE_SEEN_AFTER);
    EXPECT_EQ(cell("SELECT json FROM thing WHERE key = '5'"), saved);
    // Another thing's is refused, and the intent stays.
    const auto removal = intend(XLSTORE_REMOVE, "usbctrls", "5", "");
    settle(removal, R"({"type":"devicemodel","devid":6,"version":3,"ports":15})");
    EXPECT_EQ(status_, XLSTORE_E_INVALID);
    EXPECT_EQ(cell("SELECT count(*) FROM intent"), "1");
}

TEST_F(ExternalLooksTest, GuestThatKeepsItLeavesTheIntentOpen)
{
    const auto add = intend(XLSTORE_ADD, "usbctrls", nullptr, kController);
    add_controller("xenusb-5");
    EXPECT_EQ(settle(add), XLSTORE_SEEN_AFTER);
    const auto removal = intend(XLSTORE_REMOVE, "usbctrls", "5", "");
    EXPECT_TRUE(contains(qmp(domain_.judge(), "device_del", R"({"id": "xenusb-5"})"), "return"));
    EXPECT_EQ(settle(removal, nullptr, true), XLSTORE_SEEN_NOTHING);
    EXPECT_EQ(status_, XLSTORE_E_IN_DOUBT);
    EXPECT_EQ(entry("5"), "removing");
    EXPECT_TRUE(contains(cell("SELECT note FROM intent"), "the guest was asked to let go"));
    // The same removal again goes on with that one.
    EXPECT_EQ(intend(XLSTORE_REMOVE, "usbctrls", "5", ""), removal);
    EXPECT_EQ(cell("SELECT asked_us IS NOT NULL FROM intent"), "1");
}

TEST_F(ExternalLooksTest, IntentOfADeadClientIsTakenOver)
{
    intend(XLSTORE_CHANGE, "disks", "hdc", disk(domain_.image('b')));
    put_in(domain_.image('b'));
    die_and_come_back();
    take_lock();
    const auto intent = intend(XLSTORE_CHANGE, "disks", "hdc", disk(domain_.image('a')));
    EXPECT_EQ(cell("SELECT medium_after FROM history WHERE operation = 'change' AND outcome = 'done'"),
              domain_.image('b'));
    EXPECT_EQ(settle(intent), XLSTORE_SEEN_BEFORE);
    EXPECT_EQ(cell("SELECT json ->> 'pdev_path' FROM thing WHERE key = 'hdc'"), domain_.image('b'));
    EXPECT_TRUE(all_is_settled());
}

TEST_F(ExternalLooksTest, ForeignMediumIsFollowedFirst)
{
    put_in("/dev/null");
    xlstore_result* result = nullptr;
    EXPECT_EQ(xlstore_follow(hold_, nullptr, nullptr, &result), XLSTORE_OK) << last_error();
    EXPECT_TRUE(contains(xlstore_result_json(result), "/dev/null"));
    xlstore_result_free(result);
    EXPECT_EQ(cell("SELECT json ->> 'pdev_path' FROM thing WHERE key = 'hdc'"), "/dev/null");
    // A second look has nothing to write.
    const auto epoch = cell("SELECT epoch FROM domain");
    EXPECT_EQ(xlstore_follow(hold_, nullptr, nullptr, nullptr), XLSTORE_OK);
    EXPECT_EQ(cell("SELECT epoch FROM domain"), epoch);
    // Recovery settles an intent over it, though its client died before it did anything.
    intend(XLSTORE_CHANGE, "disks", "hdc", disk(domain_.image('b')));
    die_and_come_back();
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_TRUE(all_is_settled());
}

TEST_F(ExternalLooksTest, WhatAnExternalDocumentHasGetsAnEntry)
{
    add_controller("xenusb-5");
    string document = xl({"export", "7"}).out;
    const string more = R"("usbctrls":[{"type":"devicemodel","devid":5,"version":3,"ports":8},)"
                        R"({"type":"devicemodel","devid":6,"version":3,"ports":8}],)"
                        R"("vtpms":[{"devid":0}],"on_poweroff":)";
    const auto at = document.find("\"on_poweroff\":");
    if (at == string::npos)
        document.insert(document.rfind('}'), "," + more + "\"destroy\"");
    else
        document.replace(at, string("\"on_poweroff\":").size(), more);
    EXPECT_EQ(xlstore_follow(hold_, document.c_str(), nullptr, nullptr), XLSTORE_OK) << last_error();
    EXPECT_EQ(entry("5"), "present");  // QEMU has it
    EXPECT_EQ(entry("6"), "stale");    // QEMU has it not
    EXPECT_EQ(cell("SELECT state FROM thing WHERE class = 'vtpms'"), "present");
    EXPECT_TRUE(contains(domain_.devices(), "xenusb-5"));
}

TEST_F(ExternalLooksTest, SeveralIntentsHaveOneCommitAndEachAnEnd)
{
    const auto epoch = std::stoi(cell("SELECT epoch FROM domain"));
    const string second = R"({"type":"devicemodel","devid":6,"version":3,"ports":8})";
    xlstore_intention both[2] = {XLSTORE_INTENTION_INIT, XLSTORE_INTENTION_INIT};
    for (auto& one : both) {
        one.operation = XLSTORE_ADD;
        one.device_class = "usbctrls";
    }
    both[0].json = kController;
    both[1].json = second.c_str();
    int64_t numbers[2] = {};
    ASSERT_EQ(xlstore_look_and_intend(hold_, both, 2, nullptr, numbers), XLSTORE_OK) << last_error();
    EXPECT_EQ(std::stoi(cell("SELECT epoch FROM domain")), epoch + 1);
    add_controller("xenusb-6");
    xlstore_carried_out done[2] = {XLSTORE_CARRIED_OUT_INIT, XLSTORE_CARRIED_OUT_INIT};
    for (int i = 0; i < 2; ++i) {
        done[i].intent = numbers[i];
        done[i].evidence = "one of two";
    }
    EXPECT_EQ(xlstore_look_and_settle(hold_, done, 2, nullptr), XLSTORE_OK) << last_error();
    EXPECT_EQ(done[0].seen, XLSTORE_SEEN_BEFORE);
    EXPECT_EQ(done[1].seen, XLSTORE_SEEN_AFTER);
    EXPECT_TRUE(all_is_settled());
}

// The hold keeps an intent as it was opened: after a look it is what the look has left of it.
TEST_F(ExternalLooksTest, WhatALookLeftOpenIsSettledUnderTheSameHold)
{
    const auto added = intend(XLSTORE_ADD, "usbctrls", nullptr, kController);
    add_controller("xenusb-5");
    ASSERT_EQ(settle(added), XLSTORE_SEEN_AFTER) << last_error();
    const auto removal = intend(XLSTORE_REMOVE, "usbctrls", "5", "");
    EXPECT_TRUE(contains(qmp(domain_.judge(), "device_del", R"({"id": "xenusb-5"})"), "return"));
    EXPECT_EQ(settle(removal, nullptr, true), XLSTORE_SEEN_NOTHING);
    EXPECT_EQ(status_, XLSTORE_E_IN_DOUBT) << "its guest was asked, and keeps it";
    EXPECT_EQ(xlstore_settle(hold_, removal, XLSTORE_SEEN_BEFORE, "it keeps it", nullptr),
              XLSTORE_OK)
        << last_error();
    EXPECT_EQ(entry("5"), "present");
    EXPECT_EQ(cell("SELECT count(*) FROM product WHERE asked_us IS NOT NULL"), "0");
    EXPECT_TRUE(all_is_settled());
    EXPECT_EQ(xlstore_settle(hold_, removal, XLSTORE_SEEN_AFTER, "twice", nullptr),
              XLSTORE_E_NOT_FOUND);
    EXPECT_EQ(entry("5"), "present");
}

TEST_F(ExternalLooksTest, WhatALookHasSettledIsNotSettledAgain)
{
    const auto intent = intend(XLSTORE_CHANGE, "disks", "hdc", disk(domain_.image('b')));
    put_in(domain_.image('b'));
    ASSERT_EQ(settle(intent), XLSTORE_SEEN_AFTER) << last_error();
    const auto lines = cell("SELECT count(*) FROM history");
    EXPECT_EQ(xlstore_settle(hold_, intent, XLSTORE_SEEN_BEFORE, "twice", nullptr),
              XLSTORE_E_NOT_FOUND);
    EXPECT_EQ(cell("SELECT json ->> 'pdev_path' FROM thing WHERE key = 'hdc'"), domain_.image('b'));
    EXPECT_EQ(cell("SELECT count(*) FROM history"), lines);
    // The next one of that thing is another.
    EXPECT_GT(intend(XLSTORE_CHANGE, "disks", "hdc", disk(domain_.image('a'))), intent);
}

TEST_F(ExternalLooksTest, MonitorIsKnownByItsSocketNotItsName)
{
    const string registered = cell("SELECT monitor_path FROM domains");
    const string other = store_.directory() / "run-by-another-name";
    ASSERT_EQ(symlink((store_.path() + "/run").c_str(), other.c_str()), 0);
    const string path = other + registered.substr(registered.rfind('/'));
    xlstore_intention i = XLSTORE_INTENTION_INIT;
    i.operation = XLSTORE_ADD;
    i.device_class = "usbctrls";
    i.json = kController;
    i.seen = XLSTORE_SEEN_BEFORE;
    i.monitor_path = path.c_str();
    int64_t number = 0;
    ASSERT_EQ(xlstore_intend(hold_, &i, nullptr, &number), XLSTORE_OK) << last_error();
    EXPECT_EQ(xlstore_settle(hold_, number, XLSTORE_SEEN_BEFORE, "nothing was sent", nullptr),
              XLSTORE_OK);
    i.monitor_path = domain_.judge().c_str();
    EXPECT_EQ(xlstore_intend(hold_, &i, nullptr, &number), XLSTORE_E_REFUSED);
}

TEST_F(ExternalLooksTest, MarkedForDestructionTakesNothingMore)
{
    ASSERT_EQ(xlstore_mark_destroying(handle_, "domid:7", nullptr, nullptr), XLSTORE_OK)
        << last_error();
    EXPECT_EQ(cell("SELECT state FROM domain"), "destroying");
    EXPECT_EQ(is_alive(domain_.qemu_pid()), true);
    intend(XLSTORE_ADD, "usbctrls", nullptr, kController, XLSTORE_E_GONE);
    xlstore_hold_release(hold_);
    hold_ = nullptr;
    EXPECT_EQ(xlstore_destroy(handle_, "domid:7", nullptr, nullptr), XLSTORE_OK) << last_error();
    EXPECT_EQ(cell("SELECT state FROM domain"), "destroyed");
    EXPECT_FALSE(is_alive(domain_.qemu_pid()));
}

}  // namespace
}  // namespace xlstore::test
