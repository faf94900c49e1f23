// SPDX-License-Identifier: MIT
// An embedder that changes its mind: the task of an operation is destroyed before its first byte
// was sent, and after. In this process, over the library itself; QEMU is real.
#include <signal.h>

#include "store/core/domain.hpp"
#include "store/core/intent_rows.hpp"
#include "store/lifecycle/creation.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/lifecycle/registration.hpp"
#include "store/operation/operation.hpp"
#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class CancelTest : public DomainTest {
protected:
    Task<Outcome> attaching(Store& store)
    {
        return attach(store, *find_domain(store.db(), "7"), "qemu", tablet("t1"),
                      Clock::now() + seconds(60));
    }
    /// Lets the loop run until `condition`, asked after each turn of it; false if that does not
    /// come.
    static bool run_until(Store& store, const std::function<bool()>& condition,
                          milliseconds limit = seconds(30))
    {
        for (const auto until = Clock::now() + limit; Clock::now() < until;) {
            store.loop().dispatch();
            if (condition()) return true;
        }
        return false;
    }
    /// Lets the task on `store` run to where it waits for the reply to its first step: held up
    /// before its commit with the fast lock while QEMU is stopped. A machine may be too slow to get
    /// there in that time: then once more.
    bool stopped_after_the_commit(Store& store, Store& other)
    {
        const auto id = find_domain(store.db(), "7")->id;
        const auto committed = [&] { return !open_intents(store.db(), id).empty(); };
        for (int i = 1; i < 10; ++i) {
            auto held = other.locks().try_acquire(LockKind::fast, value_of(id));
            if (!held || !*held) return false;
            if (run_until(store, committed, milliseconds(200) * i)) return false;
            kill(domain_.qemu_pid(), SIGSTOP);
            held->reset();
            if (run_until(store, committed, seconds(1))) return true;
            kill(domain_.qemu_pid(), SIGCONT);
        }
        return false;
    }
};

TEST_F(CancelTest, WhileItWaitsForTheSlowLockNothingIsChanged)
{
    auto store = store_.open();
    auto other = store_.open();
    const auto domain = find_domain(other->db(), "7");
    auto hold = other->try_slow_lock(domain->id, "test");
    ASSERT_TRUE(hold && *hold);
    const auto rows = dump(store_.path());
    {
        auto task = attaching(*store);
        task.start();
        for (int i = 0; i < 20; ++i)
            store->loop().dispatch();
        EXPECT_FALSE(task.done());
    }
    EXPECT_FALSE(store->take_left_answer());
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_FALSE(store->locks().waiter(store->session())) << "it still says that it waits";
    hold->reset();
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));
    EXPECT_TRUE(all_is_settled());
}

TEST_F(CancelTest, BeforeTheCommitNothingIsChanged)
{
    auto store = store_.open();
    const auto rows = dump(store_.path());
    const auto id = find_domain(store->db(), "7")->id;
    kill(domain_.qemu_pid(), SIGSTOP);  // it will not get past the barrier
    {
        auto task = attaching(*store);
        task.start();
        EXPECT_TRUE(run_until(
            *store, [&] { return *store->locks().is_held(LockKind::slow, value_of(id)); }));
        EXPECT_FALSE(task.done());
    }
    kill(domain_.qemu_pid(), SIGCONT);
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_FALSE(*store->locks().is_held(LockKind::slow, value_of(id)));
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));
    EXPECT_TRUE(all_is_settled());
}

TEST_F(CancelTest, AfterTheCommitTheIntentStaysOpenAndIsSettledByTheNext)
{
    auto store = store_.open();
    auto other = store_.open();
    for (const bool by_recovery : {false, true}) {
        SCOPED_TRACE(by_recovery);
        {
            auto task = attaching(*store);
            task.start();
            ASSERT_TRUE(stopped_after_the_commit(*store, *other));
            ASSERT_FALSE(task.done());
            store->take_left_answer();
        }
        const auto answer = store->take_left_answer();
        ASSERT_TRUE(answer);
        EXPECT_EQ(answer->code, Errc::in_doubt);
        const auto open = open_intents(store->db(), find_domain(store->db(), "7")->id);
        ASSERT_EQ(open.size(), 1U);
        EXPECT_EQ(answer->intent, value_of(open.front()));
        kill(domain_.qemu_pid(), SIGCONT);
        // Whether QEMU has read the command or not: the intent says what may be there.
        EXPECT_EQ(entry("t1"), "adding");
        EXPECT_TRUE(invariant_holds(store_.path(), domain_.judge()));
        if (by_recovery) {
            EXPECT_TRUE(ended(fsck({"-p"}), 1));
        } else {
            const Ran again = xl({"--json", "attach", "7", "qemu", tablet("t1")});
            EXPECT_TRUE(again.status == 0 || code(again) == "exists") << again.out;
        }
        EXPECT_TRUE(all_is_settled());
        if (entry("t1") == "present") {
            EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "t1"}), 0));
        }
    }
    // The handle that was cancelled on is as good as new.
    auto task = attaching(*store);
    EXPECT_TRUE(store->loop().wait_for(std::move(task)));
    EXPECT_TRUE(all_is_settled());
}

// It has changed nothing itself; but the older one, of which its caller asks, may have (R18).
TEST_F(CancelTest, BeforeAnOlderRequestForTheSameIsReachedItsNumberIsSaid)
{
    ASSERT_TRUE(
        ended(xl({"attach", "7", "qemu", tablet("t1")}, crash_at("commit.before", 3)), kKilled));
    auto store = store_.open();
    const auto domain = *find_domain(store->db(), "7");
    const auto intent = open_intent_of(store->db(), domain.id, ThingName{"qemu", "t1"});
    ASSERT_TRUE(intent);
    const auto until = Clock::now() + seconds(60);
    const auto batch_with_it = [&] {
        return batch(*store, domain,
                     {Request{Request::Kind::attach, "qemu", {}, tablet("t2")},
                      Request{Request::Kind::attach, "qemu", {}, tablet("t1")}},
                     BatchMode::each, until);
    };
    kill(domain_.qemu_pid(), SIGSTOP);  // none gets past the barrier
    const auto is_connecting = [&] {
        return *store->locks().is_held(LockKind::slow, value_of(domain.id));
    };
    {
        auto task = attaching(*store);
        task.start();
        ASSERT_TRUE(run_until(*store, is_connecting));
    }
    auto answer = store->take_left_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->code, Errc::in_doubt) << answer->message;
    EXPECT_EQ(answer->intent, value_of(*intent));
    {
        auto task = batch_with_it();
        task.start();
        ASSERT_TRUE(run_until(*store, is_connecting));
    }
    answer = store->take_left_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->code, Errc::in_doubt) << answer->message;
    EXPECT_EQ(answer->intent, value_of(*intent));
    EXPECT_TRUE(contains(answer->message, "request 2 of 2")) << answer->message;
    {
        auto task = attach(*store, domain, "qemu", tablet("t2"), until);
        task.start();
        ASSERT_TRUE(run_until(*store, is_connecting));
    }
    EXPECT_FALSE(store->take_left_answer()) << "another request";
    kill(domain_.qemu_pid(), SIGCONT);
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));
    EXPECT_TRUE(all_is_settled());
}

// What the first request has done is said, wherever the second one has come to.
TEST_F(CancelTest, BatchSaysWhatIsDone)
{
    auto store = store_.open();
    const auto domain = *find_domain(store->db(), "7");
    const auto two = [&] {
        return batch(*store, domain,
                     {Request{Request::Kind::attach, "qemu", {}, tablet("t1")},
                      Request{Request::Kind::attach, "qemu", {}, tablet("t2")}},
                     BatchMode::each, Clock::now() + seconds(60));
    };
    const auto rows = dump(store_.path());
    kill(domain_.qemu_pid(), SIGSTOP);
    {
        auto task = two();
        task.start();
        ASSERT_TRUE(run_until(
            *store, [&] { return *store->locks().is_held(LockKind::slow, value_of(domain.id)); }));
    }
    kill(domain_.qemu_pid(), SIGCONT);
    EXPECT_FALSE(store->take_left_answer()) << "nothing was changed";
    EXPECT_EQ(dump(store_.path()), rows);
    {
        auto task = two();
        task.start();
        ASSERT_TRUE(run_until(*store, [&] { return entry("t1") == "present"; }));
        ASSERT_FALSE(task.done());
    }
    const auto answer = store->take_left_answer();
    ASSERT_TRUE(answer);
    const auto open = open_intents(store->db(), domain.id);
    EXPECT_EQ(answer->code, open.empty() ? Errc::unfinished : Errc::in_doubt);
    if (!open.empty()) {
        EXPECT_EQ(answer->intent, value_of(open.front()));
    }
    EXPECT_TRUE(contains(answer->message, "request 2 of 2")) << answer->message;
    EXPECT_TRUE(contains(answer->message, "done before it: qemu/t1")) << answer->message;
    // As the advice has it.
    EXPECT_TRUE(store->loop().wait_for(two()));
    EXPECT_EQ(entry("t2"), "present");
    EXPECT_TRUE(all_is_settled());
}

TEST_F(CancelTest, SoftResetThatHasKilledTheOldQemuIsUnfinished)
{
    auto store = store_.open();
    auto other = store_.open();
    const auto domain = *find_domain(store->db(), "7");
    const auto old = domain.registration->qemu;
    const ScratchDirectory directory;
    const Material material(directory, 7, "web");
    {
        auto held = other->locks().try_acquire(LockKind::fast, value_of(domain.id));
        ASSERT_TRUE(held && *held);
        auto task = soft_reset(*store, domain, material.qemu(), Clock::now() + seconds(60));
        task.start();
        ASSERT_TRUE(run_until(*store, [&] { return life_of(old) == Life::dead; }));
        ASSERT_FALSE(task.done());
    }
    const auto answer = store->take_left_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->code, Errc::unfinished);
    EXPECT_TRUE(contains(answer->message, "old QEMU")) << answer->message;
    // As the advice has it.
    auto again = soft_reset(*store, *find_domain(store->db(), "7"), material.qemu(),
                            Clock::now() + seconds(60));
    EXPECT_TRUE(store->loop().wait_for(std::move(again)));
}

// R14: the mark is committed, and the domain is to be destroyed.
TEST_F(CancelTest, DestructionThatHasBegunIsUnfinished)
{
    auto other = store_.open();
    // Behind the mark its last commit has to wait, however soon QEMU is dead.
    std::optional<ByteLock> held;
    StoreOptions options;
    options.directory = store_.path();
    options.log = std::make_shared<Log>(
        [&](LogLevel, std::string_view line) {
            if (!line.starts_with("killing QEMU")) return;
            auto lock = other->locks().try_acquire(LockKind::fast,
                                                   value_of(find_domain(other->db(), "7")->id));
            if (lock && *lock) held = **std::move(lock);
        },
        LogLevel::info);
    auto store = *Store::open(options);
    const auto domain = *find_domain(store->db(), "7");
    {
        auto before = destroy_domain(*store, domain, Clock::now() + seconds(60), "test");
    }
    EXPECT_FALSE(store->take_left_answer()) << "it was never started";
    {
        auto task = destroy_domain(*store, domain, Clock::now() + seconds(60), "test");
        task.start();
        ASSERT_TRUE(run_until(*store, [&] {
            return read_domain(store->db(), domain.id)->state == DomainState::destroying;
        }));
        ASSERT_TRUE(held);
        ASSERT_FALSE(task.done());
    }
    held.reset();
    const auto answer = store->take_left_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->code, Errc::unfinished);
    EXPECT_NE(answer->advice.find("xlstore destroy id:"), std::string::npos) << answer->advice;
    EXPECT_TRUE(ended(xl({"destroy", "id:" + std::to_string(value_of(domain.id))}), 0));
}

TEST_F(CancelTest, CreationThatHasBegunIsUnfinished)
{
    auto store = store_.open();
    const ScratchDirectory directory;
    const Material material(directory, 99, "other");
    {
        auto task = create_domain(*store, 99, read_file(material.document), "test",
                                  material.qemu(), Clock::now() + seconds(60));
        task.start();
        ASSERT_TRUE(run_until(*store, [&] {
            const auto row = find_domain(store->db(), "99");
            return row && row->registration;
        }));
        ASSERT_FALSE(task.done());
    }
    const auto answer = store->take_left_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->code, Errc::unfinished);
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_TRUE(ended(xl({"destroy", "99"}), 0));
}

// What another toolstack's document has is entered first, and QEMU asked second.
TEST_F(CancelTest, FollowThatHasEnteredADocumentIsUnfinished)
{
    auto store = store_.open();
    const auto domain = *find_domain(store->db(), "7");
    auto hold = store->try_slow_lock(domain.id, "test");
    ASSERT_TRUE(hold && *hold);
    const auto with_nic = [](std::string text) {
        const std::string nics = R"("nics": [)";
        return text.insert(text.find(nics) + nics.size(),
                           R"({"devid": 3, "mac": "00:16:3e:00:00:03"},)");
    };
    const auto text = read_file(domain_.material().document);
    // Each on a connection of its own, to a QEMU that is stopped behind the barrier.
    const auto cancel_after = [&](const std::string& document,
                                  const std::function<bool()>& condition) {
        auto monitor = store->loop().wait_for(qmp::Monitor::connect(
            store->loop(), *domain.registration, domain.subject(), Clock::now() + seconds(30)));
        ASSERT_TRUE(monitor) << monitor.error().message;
        kill(domain_.qemu_pid(), SIGSTOP);
        {
            auto task = follow_qemu(*store, **hold, *monitor, domain,
                                    *parse_document(document, "test"), Clock::now() + seconds(60));
            task.start();
            EXPECT_TRUE(run_until(*store, condition));
            EXPECT_FALSE(task.done());
        }
        kill(domain_.qemu_pid(), SIGCONT);
    };
    int turns = 0;
    cancel_after(text, [&] { return ++turns == 20; });
    EXPECT_FALSE(store->take_left_answer()) << "nothing was changed";
    cancel_after(with_nic(text), [&] { return entry("3") == "present"; });
    const auto answer = store->take_left_answer();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->code, Errc::unfinished);
    EXPECT_TRUE(contains(answer->message, "entered")) << answer->message;
}

}  // namespace
}  // namespace xlstore::test
