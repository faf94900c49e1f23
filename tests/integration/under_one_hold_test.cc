// SPDX-License-Identifier: MIT
// Several operations under one hold, and what becomes of one that fails or is given up.
#include <signal.h>

#include <functional>
#include <optional>

#include "store/core/store.hpp"
#include "store/os/process.hpp"
#include "tests/integration/external_client.hpp"

namespace xlstore::test {
namespace {

using std::string;

class UnderOneHoldTest : public ExternalClientTest {
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
    /// Another request for a thing of that name, of which another list of QEMU's tells.
    static constexpr const char* kOther =
        R"({"key":"two","steps":[{"execute":"device_add","arguments":{"driver":"nec-usb-xhci","id":"r3"}}]})";
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

// It is over, and was another request's: what is said of this one is not that nothing was changed.
TEST_F(UnderOneHoldTest, CancelledOnceAnEarlierIntentWasSettledSaysSo)
{
    auto other = store_.open();
    xlstore_intention wanted = XLSTORE_INTENTION_INIT;
    wanted.operation = XLSTORE_ADD;
    wanted.device_class = "qemu";
    wanted.json = kOther;
    int64_t number = 0;
    const string batch = R"([{"attach":"qemu","thing":)" + string(kOther) + "}]";
    const auto start = [&](const string& what, Told& told) {
        if (what == "look_and_intend")
            return xlstore_look_and_intend_start(hold_, &wanted, 1, nullptr, &number, tell, &told,
                                                 &op_);
        xlstore_hold_release(hold_);
        hold_ = nullptr;
        if (what == "batch")
            return xlstore_batch_start(handle_, "domid:7", batch.c_str(), 0, nullptr, tell, &told,
                                       &op_);
        return xlstore_attach_start(handle_, "domid:7", "qemu", kOther, nullptr, tell, &told, &op_);
    };
    for (const char* what : {"look_and_intend", "attach", "batch"}) {
        SCOPED_TRACE(what);
        const auto earlier = half_done();
        auto lock = fast_lock(*other);
        Told told;
        ASSERT_EQ(start(what, told), XLSTORE_OK) << last_error();
        ASSERT_TRUE(dispatch_until([&] { return !has_object("r1"); }));
        // It is settled while QEMU is stopped, which has to be asked before commit 1.
        ASSERT_TRUE(dispatch_until([&] {
            EXPECT_FALSE(has_object("r1"));  // it has had its turn, and answered
            EXPECT_EQ(xlstore_dispatch(handle_), XLSTORE_OK);
            kill(domain_.qemu_pid(), SIGSTOP);
            const auto stopped = [&] { return is_stopped(*identify(domain_.qemu_pid())); };
            EXPECT_TRUE(wait_until(std::chrono::seconds(20), stopped));
            lock.reset();
            if (wait_until(std::chrono::milliseconds(200), [&] {
                    EXPECT_EQ(xlstore_dispatch(handle_), XLSTORE_OK);
                    return cell("SELECT count(*) FROM intent") == "0";
                }))
                return true;
            lock = fast_lock(*other);
            kill(domain_.qemu_pid(), SIGCONT);
            return false;
        }));
        ASSERT_EQ(told.calls, 0);
        xlstore_op_cancel(op_);
        ASSERT_TRUE(ends(told));
        kill(domain_.qemu_pid(), SIGCONT);
        EXPECT_EQ(told.status, XLSTORE_E_CANCELLED) << told.message;
        EXPECT_TRUE(contains(told.message, "intent " + std::to_string(earlier) +
                                               ", which was open on qemu/two, was settled"))
            << told.message;
        if (!hold_) take_lock();
        EXPECT_TRUE(all_is_settled());
    }
}

TEST_F(UnderOneHoldTest, RefusedOnceAnEarlierIntentWasSettledSaysSo)
{
    add_controller("r3");
    const auto earlier = half_done();
    const string settled =
        "intent " + std::to_string(earlier) + ", which was open on qemu/two, was settled";
    intend(XLSTORE_ADD, "qemu", nullptr, kOther, XLSTORE_E_EXISTS);
    EXPECT_TRUE(contains(last_error(), settled)) << last_error();
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_last_error(&error);
    EXPECT_EQ(std::string(error.advice).substr(0, 25), "nothing else was changed;");
    EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
    intend(XLSTORE_ADD, "qemu", nullptr, kOther, XLSTORE_E_EXISTS);
    EXPECT_FALSE(contains(last_error(), "was settled")) << last_error();
}

// Also before its first turn: the intent was there before it.
TEST_F(UnderOneHoldTest, WaitThatIsCancelledIsInDoubt)
{
    const auto intent = intend(XLSTORE_ADD, "usbctrls", nullptr, kController);
    for (const bool has_begun : {false, true}) {
        Told told;
        ASSERT_EQ(xlstore_wait_start(handle_, intent, nullptr, tell, &told, &op_), XLSTORE_OK);
        for (int i = 0; has_begun && i < 5; ++i)
            ASSERT_EQ(xlstore_dispatch(handle_), XLSTORE_OK);
        ASSERT_EQ(told.calls, 0);
        xlstore_op_cancel(op_);
        ASSERT_TRUE(ends(told));
        expect_in_doubt(told, intent);
    }
    EXPECT_EQ(settle(intent), XLSTORE_SEEN_BEFORE);
    Told told;  // of one that is closed there is no doubt
    ASSERT_EQ(xlstore_wait_start(handle_, intent, nullptr, tell, &told, &op_), XLSTORE_OK);
    xlstore_op_cancel(op_);
    ASSERT_TRUE(ends(told));
    EXPECT_EQ(told.status, XLSTORE_E_CANCELLED) << told.message;
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

}  // namespace
}  // namespace xlstore::test
