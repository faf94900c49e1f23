// SPDX-License-Identifier: MIT
// A client whose looks the store takes: another toolstack's calls change QEMU between two of them (here
// the test does, over QEMU's second monitor), and the store says what is there. Also after the client died.
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <optional>

#include "store/core/store.hpp"
#include "tests/support/domain_test.hpp"
#include "tests/support/scratch_xenstored.hpp"
#include "xlstore/xlstore.h"

namespace xlstore::test {
namespace {

using std::string;

string last_error()
{
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_last_error(&error);
    return string(error.message) + " (" + xlstore_status_name(error.status) + ")";
}

class ExternalLooksTest : public DomainTest {
protected:
    void SetUp() override
    {
        ASSERT_EQ(xlstore_open(store_.path().c_str(), nullptr, &handle_), XLSTORE_OK) << last_error();
        take_lock();
    }
    void TearDown() override
    {
        xlstore_hold_release(hold_);
        xlstore_close(handle_);
    }
    void take_lock()
    {
        ASSERT_EQ(xlstore_slow_lock(handle_, "domid:7", "test", nullptr, &hold_), XLSTORE_OK)
            << last_error();
    }
    // As a client that dies: its session goes, its intents stay.
    void die_and_come_back()
    {
        xlstore_hold_release(hold_);
        xlstore_close(handle_);
        hold_ = nullptr;
        ASSERT_EQ(xlstore_open(store_.path().c_str(), nullptr, &handle_), XLSTORE_OK) << last_error();
    }
    static string disk(const string& path)
    {
        return path.empty() ? R"({"pdev_path":"","vdev":"hdc","format":"empty","removable":1,"is_cdrom":1})"
                            : R"({"pdev_path":")" + path +
                                  R"(","vdev":"hdc","format":"raw","removable":1,"is_cdrom":1})";
    }
    int64_t intend(int32_t operation, const char* device_class, const char* key, const string& json,
                   int32_t expected = XLSTORE_OK)
    {
        xlstore_intention i = XLSTORE_INTENTION_INIT;
        i.operation = operation;
        i.device_class = device_class;
        i.key = key;
        i.json = json.empty() ? nullptr : json.c_str();
        int64_t number = 0;
        EXPECT_EQ(xlstore_look_and_intend(hold_, &i, 1, nullptr, &number), expected) << last_error();
        return number;
    }
    int32_t settle(int64_t intent, const char* json = nullptr, bool asked = false)
    {
        xlstore_carried_out done = XLSTORE_CARRIED_OUT_INIT;
        done.intent = intent;
        done.evidence = "the other toolstack said 0";
        done.json = json;
        done.asked = asked ? 1 : 0;
        status_ = xlstore_look_and_settle(hold_, &done, 1, nullptr);
        return done.seen;
    }
    void put_in(const string& path)
    {
        EXPECT_TRUE(contains(qmp(domain_.judge(), "blockdev-change-medium",
                                 R"({"id": "ide-5632", "filename": ")" + path +
                                     R"(", "format": "raw"})"),
                             "return"));
    }
    void add_controller(const string& id)
    {
        EXPECT_TRUE(contains(qmp(domain_.judge(), "device_add",
                                 R"({"driver": "nec-usb-xhci", "id": ")" + id + R"("})"),
                             "return"));
    }
    static constexpr const char* kController =
        R"({"type":"devicemodel","devid":5,"version":3,"ports":8})";

    xlstore_store* handle_ = nullptr;
    xlstore_hold* hold_ = nullptr;
    int32_t status_ = 0;
};

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

/// How an operation that was started ended.
struct Told {
    int calls = 0;
    int32_t status = 0;
    int64_t intent = 0;
    string message = {};
    string json = {};
};
void tell(xlstore_result* result, void* userdata)
{
    auto& told = *static_cast<Told*>(userdata);
    ++told.calls;
    told.status = xlstore_result_status(result);
    told.intent = xlstore_result_intent(result);
    told.message = xlstore_result_message(result);
    told.json = xlstore_result_json(result);
}

/// Several of them under one hold, and what becomes of one that fails or is given up.
class UnderOneHoldTest : public ExternalLooksTest {
protected:
    static xlstore_carried_out carried_out(int64_t intent)
    {
        xlstore_carried_out done = XLSTORE_CARRIED_OUT_INIT;
        done.intent = intent;
        done.evidence = "the other toolstack said 0";
        return done;
    }
    bool dispatch_until(const std::function<bool()>& condition)
    {
        return wait_until(std::chrono::seconds(60), [&] {
            EXPECT_EQ(xlstore_dispatch(handle_), XLSTORE_OK);
            return condition();
        });
    }
    bool ends(const Told& told)
    {
        return dispatch_until([&] { return told.calls > 0; });
    }
    void expect_in_doubt(int32_t status, int64_t intent)
    {
        xlstore_error error = XLSTORE_ERROR_INIT;
        xlstore_last_error(&error);
        EXPECT_EQ(status, XLSTORE_E_IN_DOUBT) << last_error();
        EXPECT_EQ(error.intent, intent) << last_error();
    }
    void expect_in_doubt(const Told& told, int64_t intent)
    {
        EXPECT_EQ(told.status, XLSTORE_E_IN_DOUBT) << told.message;
        EXPECT_EQ(told.intent, intent) << told.message;
    }
    bool has_object(const string& id)
    {
        return contains(qmp(domain_.judge(), "qom-list", R"({"path": "/objects"})"),
                        "\"" + id + "\"");
    }
    void add_object(const string& id)
    {
        EXPECT_TRUE(contains(qmp(domain_.judge(), "object-add",
                                 R"({"qom-type": "rng-builtin", "id": ")" + id + R"("})"),
                             "return"));
    }
    static constexpr const char* kTwo =
        R"({"key":"two","steps":[{"execute":"object-add","arguments":{"qom-type":"rng-builtin","id":"r1"}},)"
        R"({"execute":"object-add","arguments":{"qom-type":"rng-builtin","id":"r2"}}]})";
    /// Of a thing of two steps the first is done.
    int64_t half_done()
    {
        const auto intent = intend(XLSTORE_ADD, "qemu", nullptr, kTwo);
        add_object("r1");
        EXPECT_TRUE(has_object("r1"));
        return intent;
    }
    /// Held, so that what is to be committed waits.
    std::optional<ByteLock> fast_lock(Store& other)
    {
        auto lock =
            other.locks().try_acquire(LockKind::fast, std::stoll(cell("SELECT id FROM domain")));
        EXPECT_TRUE(lock && *lock);
        return *std::move(lock);
    }

    xlstore_op* op_ = nullptr;
};

TEST_F(UnderOneHoldTest, LookThatFailsLeavesTheFirstOpenIntentInDoubt)
{
    xlstore_call soon = XLSTORE_CALL_INIT;
    soon.timeout_ms = 1000;
    const string second = R"({"type":"devicemodel","devid":6,"version":3,"ports":8})";
    xlstore_carried_out both[2] = {
        carried_out(intend(XLSTORE_ADD, "usbctrls", nullptr, kController)),
        carried_out(intend(XLSTORE_ADD, "usbctrls", nullptr, second))};
    const auto first = both[0].intent;

    kill(domain_.qemu_pid(), SIGSTOP);
    expect_in_doubt(xlstore_look_and_settle(hold_, both, 2, &soon), first);
    Told told;
    ASSERT_EQ(xlstore_look_and_settle_start(hold_, both, 2, &soon, tell, &told, nullptr),
              XLSTORE_OK);
    ASSERT_TRUE(ends(told));
    expect_in_doubt(told, first);
    kill(domain_.qemu_pid(), SIGCONT);
    EXPECT_EQ(both[0].seen, XLSTORE_SEEN_NOTHING);

    // One that is closed already, before and after one whose look fails.
    EXPECT_EQ(xlstore_look_and_settle(hold_, both, 1, nullptr), XLSTORE_OK) << last_error();
    EXPECT_EQ(xlstore_look_and_settle(hold_, both, 1, nullptr), XLSTORE_E_NOT_FOUND);
    both[1].json = "{";
    EXPECT_EQ(xlstore_look_and_settle(hold_, both + 1, 1, nullptr), XLSTORE_E_INVALID);
    both[1].json = nullptr;

    ASSERT_EQ(xlstore_break_lock(handle_, "domid:7", XLSTORE_FORCE, nullptr, nullptr), XLSTORE_OK);
    expect_in_doubt(xlstore_look_and_settle(hold_, both + 1, 1, nullptr), both[1].intent);
    expect_in_doubt(xlstore_settle(hold_, both[1].intent, XLSTORE_SEEN_BEFORE, "lost", nullptr),
                    both[1].intent);

    kill(domain_.qemu_pid(), SIGKILL);
    ASSERT_TRUE(
        wait_until(std::chrono::seconds(20), [&] { return !is_alive(domain_.qemu_pid()); }));
    xlstore_hold_release(hold_);
    hold_ = nullptr;
    take_lock();
    expect_in_doubt(xlstore_look_and_settle(hold_, both + 1, 1, nullptr), both[1].intent);
}

// Also before its first turn: what it settles was committed before it.
TEST_F(UnderOneHoldTest, SettlingThatIsCancelledIsInDoubt)
{
    auto done = carried_out(intend(XLSTORE_ADD, "usbctrls", nullptr, kController));
    const auto intent = done.intent;
    const auto start = [&](int which, Told& told) {
        switch (which) {
        case 0:
            return xlstore_settle_start(hold_, intent, XLSTORE_SEEN_BEFORE, "x", nullptr, tell,
                                        &told, &op_);
        case 1:
            return xlstore_asked_start(hold_, intent, "x", nullptr, tell, &told, &op_);
        default:
            return xlstore_look_and_settle_start(hold_, &done, 1, nullptr, tell, &told, &op_);
        }
    };
    auto other = store_.open();
    auto lock = fast_lock(*other);
    for (const bool has_begun : {false, true}) {
        for (const int which : {0, 1, 2}) {
            SCOPED_TRACE(std::to_string(which) + (has_begun ? " begun" : ""));
            Told told;
            ASSERT_EQ(start(which, told), XLSTORE_OK) << last_error();
            for (int i = 0; has_begun && i < 5; ++i)
                ASSERT_EQ(xlstore_dispatch(handle_), XLSTORE_OK);
            ASSERT_EQ(told.calls, 0);
            xlstore_op_cancel(op_);
            ASSERT_TRUE(ends(told));
            expect_in_doubt(told, intent);
            EXPECT_EQ(xlstore_hold_check(hold_), XLSTORE_OK) << "it has come back";
        }
    }
    lock.reset();
    EXPECT_EQ(settle(intent), XLSTORE_SEEN_BEFORE);
    EXPECT_TRUE(all_is_settled());
}

// The operation was for something else, and has taken something out of QEMU by then.
TEST_F(UnderOneHoldTest, CancelledOnceAnEarlierIntentIsBeingUndoneNamesThatOne)
{
    auto other = store_.open();
    xlstore_intention again = XLSTORE_INTENTION_INIT;
    again.operation = XLSTORE_ADD;
    again.device_class = "qemu";
    again.json = kTwo;
    int64_t number = 0;
    const string batch = R"([{"attach":"qemu","thing":)" + string(kTwo) + "}]";
    const auto start = [&](const string& what, int64_t earlier, Told& told) {
        if (what == "look_and_intend")
            return xlstore_look_and_intend_start(hold_, &again, 1, nullptr, &number, tell, &told,
                                                 &op_);
        xlstore_hold_release(hold_);
        hold_ = nullptr;
        if (what == "wait") return xlstore_wait_start(handle_, earlier, nullptr, tell, &told, &op_);
        if (what == "detach")
            return xlstore_detach_start(handle_, "domid:7", "qemu", "two", nullptr, tell, &told,
                                        &op_);
        if (what == "batch")
            return xlstore_batch_start(handle_, "domid:7", batch.c_str(), XLSTORE_ALL_OR_NONE,
                                       nullptr, tell, &told, &op_);
        return xlstore_attach_start(handle_, "domid:7", "qemu", kTwo, nullptr, tell, &told, &op_);
    };
    for (const char* what : {"look_and_intend", "wait", "detach", "batch", "attach"}) {
        SCOPED_TRACE(what);
        const auto earlier = half_done();
        auto lock = fast_lock(*other);
        Told told;
        ASSERT_EQ(start(what, earlier, told), XLSTORE_OK) << last_error();
        ASSERT_TRUE(dispatch_until([&] { return !has_object("r1"); }));
        ASSERT_EQ(told.calls, 0);
        xlstore_op_cancel(op_);
        ASSERT_TRUE(ends(told));
        expect_in_doubt(told, earlier);
        EXPECT_EQ(cell("SELECT id FROM intent"), std::to_string(earlier));
        lock.reset();
        if (!hold_) take_lock();
        EXPECT_EQ(settle(earlier), XLSTORE_SEEN_BEFORE);
        EXPECT_TRUE(all_is_settled());
    }
}

TEST_F(UnderOneHoldTest, LookHasTheHoldAloneAndTheHoldIsCurrentMeanwhile)
{
    auto other = store_.open();
    xlstore_intention first = XLSTORE_INTENTION_INIT;
    first.operation = XLSTORE_ADD;
    first.device_class = "usbctrls";
    first.json = kController;
    first.seen = XLSTORE_SEEN_BEFORE;
    const string monitor = cell("SELECT monitor_path FROM domains");
    first.monitor_path = monitor.c_str();
    const string second = R"({"type":"devicemodel","devid":6,"version":3,"ports":8})";
    const string third = R"({"type":"devicemodel","devid":7,"version":3,"ports":8})";
    // What commits is under way: two of them, and no look beside them.
    Told told[3];
    int64_t number = 0;
    auto lock = fast_lock(*other);
    ASSERT_EQ(xlstore_intend_start(hold_, &first, nullptr, tell, &told[0], nullptr), XLSTORE_OK)
        << last_error();
    first.json = second.c_str();
    ASSERT_EQ(xlstore_intend_start(hold_, &first, nullptr, tell, &told[1], nullptr), XLSTORE_OK)
        << last_error();
    first.json = third.c_str();
    ASSERT_EQ(
        xlstore_look_and_intend_start(hold_, &first, 1, nullptr, &number, tell, &told[2], nullptr),
        XLSTORE_OK);
    ASSERT_TRUE(ends(told[2]));
    EXPECT_EQ(told[2].status, XLSTORE_E_BUSY) << told[2].message;
    EXPECT_TRUE(contains(told[2].message, "under this hold"));
    lock.reset();
    ASSERT_TRUE(ends(told[0]) && ends(told[1]));
    EXPECT_EQ(told[0].status, XLSTORE_OK) << told[0].message;
    EXPECT_EQ(told[1].status, XLSTORE_OK) << told[1].message;
    EXPECT_EQ(xlstore_hold_check(hold_), XLSTORE_OK) << last_error();

    // A look is under way.
    auto done = carried_out(told[0].intent);
    auto beside = carried_out(told[1].intent);
    Told look;
    kill(domain_.qemu_pid(), SIGSTOP);
    ASSERT_EQ(xlstore_look_and_settle_start(hold_, &done, 1, nullptr, tell, &look, nullptr),
              XLSTORE_OK);
    for (int i = 0; i < 5; ++i)
        ASSERT_EQ(xlstore_dispatch(handle_), XLSTORE_OK);
    ASSERT_EQ(look.calls, 0);
    EXPECT_EQ(xlstore_hold_check(hold_), XLSTORE_OK) << last_error();
    EXPECT_EQ(xlstore_intend(hold_, &first, nullptr, &number), XLSTORE_E_BUSY) << last_error();
    EXPECT_EQ(xlstore_follow(hold_, nullptr, nullptr, nullptr), XLSTORE_E_BUSY) << last_error();
    EXPECT_EQ(xlstore_look_and_intend(hold_, &first, 1, nullptr, &number), XLSTORE_E_BUSY);
    expect_in_doubt(xlstore_settle(hold_, told[1].intent, XLSTORE_SEEN_BEFORE, "x", nullptr),
                    told[1].intent);
    expect_in_doubt(xlstore_look_and_settle(hold_, &beside, 1, nullptr), told[1].intent);
    kill(domain_.qemu_pid(), SIGCONT);
    ASSERT_TRUE(ends(look));
    EXPECT_EQ(look.status, XLSTORE_OK) << look.message;
    EXPECT_EQ(xlstore_look_and_settle(hold_, &beside, 1, nullptr), XLSTORE_OK) << last_error();
    EXPECT_TRUE(all_is_settled());
}

TEST_F(UnderOneHoldTest, ThingThatIsNamedTwiceIsTheCallersFault)
{
    xlstore_intention twice[2] = {XLSTORE_INTENTION_INIT, XLSTORE_INTENTION_INIT};
    int64_t numbers[2] = {};
    for (auto& one : twice) {
        one.operation = XLSTORE_ADD;
        one.device_class = "usbctrls";
        one.json = kController;
    }
    EXPECT_EQ(xlstore_look_and_intend(hold_, twice, 2, nullptr, numbers), XLSTORE_E_INVALID);
    EXPECT_TRUE(contains(last_error(), "intention 2: usbctrls/5 is named before it, too"));
    for (auto& one : twice) {
        one.operation = XLSTORE_REMOVE;
        one.device_class = "disks";
        one.key = "hdc";
        one.json = nullptr;
    }
    EXPECT_EQ(xlstore_look_and_intend(hold_, twice, 2, nullptr, numbers), XLSTORE_E_INVALID);
    EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
}

/// Of a release to come: the tail is zero.
template <class T>
struct Newer {
    T known;
    char tail[16];
};

TEST_F(UnderOneHoldTest, ArraysOfALaterReleasesStructsAreReadAsTheyLie)
{
    const string second = R"({"type":"devicemodel","devid":6,"version":3,"ports":8})";
    Newer<xlstore_intention> wanted[2] = {};
    for (auto& one : wanted) {
        xlstore_intention_init(&one.known, sizeof one);
        one.known.operation = XLSTORE_ADD;
        one.known.device_class = "usbctrls";
    }
    wanted[0].known.json = kController;
    wanted[1].known.json = second.c_str();
    int64_t numbers[2] = {};
    ASSERT_EQ(xlstore_look_and_intend(hold_, &wanted[0].known, 2, nullptr, numbers), XLSTORE_OK)
        << last_error();
    add_controller("xenusb-6");
    Newer<xlstore_carried_out> done[2] = {};
    for (int i = 0; i < 2; ++i) {
        xlstore_carried_out_init(&done[i].known, sizeof done[i]);
        done[i].known.intent = numbers[i];
        done[i].known.evidence = "one of two";
    }
    done[1].known.struct_size = sizeof(xlstore_carried_out);
    EXPECT_EQ(xlstore_look_and_settle(hold_, &done[0].known, 2, nullptr), XLSTORE_E_INVALID);
    done[1].known.struct_size = sizeof done[1];
    EXPECT_EQ(xlstore_look_and_settle(hold_, &done[0].known, 2, nullptr), XLSTORE_OK)
        << last_error();
    EXPECT_EQ(done[0].known.seen, XLSTORE_SEEN_BEFORE);
    EXPECT_EQ(done[1].known.seen, XLSTORE_SEEN_AFTER);
    EXPECT_TRUE(all_is_settled());
}

TEST_F(UnderOneHoldTest, ResultsHaveWords)
{
    xlstore_intention one = XLSTORE_INTENTION_INIT;
    one.operation = XLSTORE_ADD;
    one.device_class = "usbctrls";
    one.json = kController;
    int64_t number = 0;
    Told told;
    ASSERT_EQ(xlstore_look_and_intend_start(hold_, &one, 1, nullptr, &number, tell, &told, nullptr),
              XLSTORE_OK);
    ASSERT_TRUE(ends(told));
    EXPECT_EQ(told.json, R"({"result":"done","intents":[)" + std::to_string(number) + "]}");
    EXPECT_TRUE(contains(told.message, "open: intent " + std::to_string(number)));
    auto done = carried_out(number);
    Told settled;
    ASSERT_EQ(xlstore_look_and_settle_start(hold_, &done, 1, nullptr, tell, &settled, nullptr),
              XLSTORE_OK);
    ASSERT_TRUE(ends(settled));
    EXPECT_EQ(settled.intent, number);
    EXPECT_EQ(settled.json, R"({"result":"done","intents":[{"intent":)" + std::to_string(number) +
                                R"(,"seen":"before"}]})");
    EXPECT_TRUE(contains(settled.message, "settled: intent " + std::to_string(number) + " before"));
    // In doubt, once.
    const auto next = intend(XLSTORE_ADD, "usbctrls", nullptr, kController);
    expect_in_doubt(xlstore_settle(hold_, next, XLSTORE_SEEN_NOTHING, "no answer", nullptr), next);
    const string said = last_error();
    EXPECT_EQ(said.find("in doubt"), said.rfind("in doubt")) << said;
}

// A look that loses its lock, or fails otherwise, proves nothing of the intent.
TEST_F(UnderOneHoldTest, WaitGoesOnAfterALookThatFailed)
{
    const auto intent = half_done();
    xlstore_hold_release(hold_);
    hold_ = nullptr;
    auto other = store_.open();
    auto lock = fast_lock(*other);
    Told told;
    ASSERT_EQ(xlstore_wait_start(handle_, intent, nullptr, tell, &told, nullptr), XLSTORE_OK);
    ASSERT_TRUE(dispatch_until([&] { return !has_object("r1"); }));
    other->db().prepare("UPDATE domain SET epoch = epoch + 1").run();  // as one that broke its lock
    lock.reset();
    ASSERT_TRUE(ends(told));
    EXPECT_EQ(told.status, XLSTORE_E_REFUSED) << told.message;
    EXPECT_TRUE(contains(told.message, "closed as not done"));
    EXPECT_EQ(told.intent, intent);
    EXPECT_TRUE(all_is_settled());
}

/// Another toolstack's domain, and an empty store.
class AdoptTest : public testing::Test {
protected:
    int32_t adopt(const string& document, const string& monitor)
    {
        return xlstore_adopt(handle_, 9, document.c_str(), monitor.empty() ? nullptr : monitor.c_str(),
                             nullptr, nullptr);
    }
    void SetUp() override
    {
        ASSERT_EQ(xlstore_open(store_.path().c_str(), nullptr, &handle_), XLSTORE_OK) << last_error();
    }
    void TearDown() override { xlstore_close(handle_); }
    string cell(const string& query) { return sql(store_.path(), query); }

    ScratchStore store_;
    ScratchStore other_;
    ScratchDomain domain_{other_};  // its QEMU is another store's; its second monitor is adopted
    xlstore_store* handle_ = nullptr;
};

TEST_F(AdoptTest, DocumentAndQemuComeInByOneCallAndQemuStaysAsItWas)
{
    const string document = read_file(domain_.material().document);
    // Nothing is left of an adoption that fails.
    EXPECT_NE(adopt(document, other_.directory() / "no-monitor"), XLSTORE_OK);
    EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state <> 'destroyed'"), "0");

    const auto before = state_of(domain_.judge());
    ASSERT_EQ(adopt(document, domain_.judge()), XLSTORE_OK) << last_error();
    EXPECT_EQ(state_of(domain_.judge()), before);
    EXPECT_EQ(cell("SELECT qemu_pid FROM domains"), std::to_string(domain_.qemu_pid()));
    // Again: it is there.
    ASSERT_EQ(adopt(document, domain_.judge()), XLSTORE_OK) << last_error();
    EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state = 'running'"), "1");
}

TEST_F(AdoptTest, NameOfADomainThatXenHasNoMoreIsFree)
{
    XLSTORE_NEEDS_XENSTORED();
    ScratchXenstored daemon(store_.directory() / "xs");
    setenv("XENSTORED_PATH", daemon.socket().c_str(), 1);
    const auto document = [](char uuid) {
        return R"({"c_info": {"type": "pvh", "name": "one", "uuid": "0badcafe-2222-4333-8444-00000000000)" +
               string(1, uuid) + R"("}, "b_info": {"type.pvh": {}}})";
    };
    daemon.tool().introduce(21);
    ASSERT_EQ(xlstore_adopt(handle_, 21, document('1').c_str(), nullptr, nullptr, nullptr), XLSTORE_OK)
        << last_error();
    EXPECT_EQ(xlstore_adopt(handle_, 22, document('2').c_str(), nullptr, nullptr, nullptr), XLSTORE_E_EXISTS);
    daemon.tool().release(21);
    EXPECT_EQ(xlstore_adopt(handle_, 22, document('2').c_str(), nullptr, nullptr, nullptr), XLSTORE_OK)
        << last_error();
    unsetenv("XENSTORED_PATH");
}

TEST_F(AdoptTest, EarlierLifeOfTheDomidIsArchivedOnceItsQemuIsDead)
{
    const string document = read_file(domain_.material().document);
    string next = document;
    const auto at = next.find(domain_.material().uuid);
    ASSERT_NE(at, string::npos);
    next[at] = next[at] == 'a' ? 'b' : 'a';
    ASSERT_EQ(adopt(document, domain_.judge()), XLSTORE_OK) << last_error();
    EXPECT_EQ(adopt(next, ""), XLSTORE_E_EXISTS);  // its QEMU lives
    ASSERT_EQ(kill(domain_.qemu_pid(), SIGKILL), 0);
    // Its threads end after the first of them.
    EXPECT_TRUE(wait_until(std::chrono::seconds(20), [&] { return adopt(next, "") == XLSTORE_OK; }))
        << last_error();
    EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state = 'running'"), "1");
    EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state = 'destroyed'"), "1");
}

// R18: two commits, and what comes between them is said.
TEST_F(AdoptTest, CancelledBetweenItsCommitsIsUnfinishedAndGoesOn)
{
    const string document = read_file(domain_.material().document);
    Told told;
    const auto run_until = [&](const std::function<bool()>& condition) {
        return wait_until(std::chrono::seconds(30),
                          [&] { return condition() || (xlstore_dispatch(handle_), condition()); });
    };
    kill(domain_.qemu_pid(), SIGSTOP);  // it does not come past the barrier
    xlstore_op* op = nullptr;
    ASSERT_EQ(xlstore_adopt_start(handle_, 9, document.c_str(), domain_.judge().c_str(), nullptr,
                                  tell, &told, &op),
              XLSTORE_OK)
        << last_error();
    ASSERT_TRUE(run_until([&] { return cell("SELECT count(*) FROM domain") == "1"; }));
    ASSERT_EQ(told.calls, 0);
    xlstore_op_cancel(op);
    ASSERT_TRUE(run_until([&] { return told.calls > 0; }));
    kill(domain_.qemu_pid(), SIGCONT);
    EXPECT_EQ(told.status, XLSTORE_E_UNFINISHED);
    EXPECT_TRUE(contains(told.message, "its document came in")) << told.message;
    EXPECT_EQ(cell("SELECT state FROM domain"), "running");
    // As the advice has it.
    EXPECT_EQ(adopt(document, domain_.judge()), XLSTORE_OK) << last_error();
    EXPECT_EQ(cell("SELECT qemu_pid FROM domain"), std::to_string(domain_.qemu_pid()));
}

// The store may be used from another directory later.
TEST_F(AdoptTest, MonitorIsKeptByItsWholePathAndAnotherOneIsRefused)
{
    const string document = read_file(domain_.material().document);
    const auto here = std::filesystem::current_path();
    const std::filesystem::path judge = domain_.judge();
    std::filesystem::current_path(judge.parent_path());
    EXPECT_EQ(adopt(document, judge.filename().string()), XLSTORE_OK) << last_error();
    std::filesystem::current_path(here);
    EXPECT_EQ(cell("SELECT monitor_path FROM domain"), judge.string());
    EXPECT_EQ(adopt(document, judge.string()), XLSTORE_OK) << last_error();
    EXPECT_EQ(adopt(document, sql(other_.path(), "SELECT monitor_path FROM domain")),
              XLSTORE_E_EXISTS);
    EXPECT_TRUE(contains(last_error(), judge.string())) << last_error();
    EXPECT_EQ(cell("SELECT monitor_path FROM domain"), judge.string());
}

TEST_F(AdoptTest, EarlierLifeWithoutAQemuIsArchivedOnXenstoredsWordAlone)
{
    XLSTORE_NEEDS_XENSTORED();
    const string document = read_file(domain_.material().document);
    string next = document;
    const auto at = next.find(domain_.material().uuid);
    ASSERT_NE(at, string::npos);
    next[at] = next[at] == 'a' ? 'b' : 'a';
    ASSERT_EQ(adopt(document, ""), XLSTORE_OK) << last_error();
    const auto rows = dump(store_.path());

    setenv("XENSTORED_PATH", (store_.directory() / "no-xenstored").c_str(), 1);
    EXPECT_EQ(adopt(next, ""), XLSTORE_E_EXISTS) << last_error();  // whether it lives is not known
    ScratchXenstored daemon(store_.directory() / "xs");
    setenv("XENSTORED_PATH", daemon.socket().c_str(), 1);
    daemon.tool().write("/local/domain/9/vm", "/vm/" + domain_.material().uuid);
    EXPECT_EQ(adopt(next, ""), XLSTORE_E_EXISTS) << last_error();  // it does
    EXPECT_EQ(dump(store_.path()), rows);
    daemon.tool().remove("/local/domain/9");
    // It is over, but the call fails, and changes nothing.
    EXPECT_EQ(adopt(next, other_.directory() / "no-monitor"), XLSTORE_E_PROTOCOL) << last_error();
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_EQ(adopt(next, domain_.judge()), XLSTORE_OK) << last_error();
    EXPECT_EQ(cell("SELECT group_concat(state) FROM domain"), "destroyed,running");
    unsetenv("XENSTORED_PATH");
}

}  // namespace
}  // namespace xlstore::test
