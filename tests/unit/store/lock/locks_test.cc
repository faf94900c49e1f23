// SPDX-License-Identifier: MIT
#include "store/lock/locks.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <functional>
#include <iterator>

#include "store/base/clock.hpp"
#include "tests/support/claim.hpp"
#include "tests/support/holder.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::claim;
using test::in;

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::Holder;
using test::ScratchDirectory;

Result<ByteLock> take(const Locks& locks, Loop& loop, LockKind kind, std::int64_t id,
                      milliseconds patience = seconds(20))
{
    return loop.wait_for(
        locks.acquire(loop, kind, id, claim("mine"), "domain 7 (web)", in(patience)));
}

class LocksTest : public testing::Test {
protected:
    LocksTest() { Locks::create(directory_.path()); }
    [[nodiscard]] Locks open() const { return *Locks::open(directory_.path(), true); }
    /// A process that holds a lock until it is ended.
    [[nodiscard]] std::function<bool()> holding(LockKind kind, std::int64_t id) const
    {
        return [this, kind, id] {
            auto locks = Locks::open(directory_.path(), true);
            if (!locks) return false;
            static std::optional<ByteLock> held;  // lives as long as the process
            auto lock = locks->try_acquire(kind, id, claim("theirs"));
            if (!lock || !*lock) return false;
            held = *std::move(lock);
            return true;
        };
    }

    ScratchDirectory directory_;
    Loop loop_;
};

TEST_F(LocksTest, KindsAndIdsAreApart)
{
    const Locks locks = open();
    std::vector<ByteLock> held;
    for (const auto kind : {LockKind::slow, LockKind::fast, LockKind::destroy, LockKind::session})
        for (const std::int64_t id : {1, 2, 3}) {
            auto lock = locks.try_acquire(kind, id);
            ASSERT_TRUE(lock && *lock) << lock_name(kind) << id;
            held.push_back(**std::move(lock));
        }
    auto writer = locks.try_acquire(LockKind::writer, 0);
    ASSERT_TRUE(writer && *writer);
    for (const auto kind : {LockKind::slow, LockKind::fast, LockKind::destroy})
        EXPECT_TRUE(*locks.is_held(kind, 2));
    EXPECT_FALSE(*locks.is_held(LockKind::slow, 4));
    for (const auto kind : {LockKind::slow, LockKind::fast, LockKind::destroy})
        EXPECT_EQ(*locks.are_held(kind, {4, 2, 9, 1}),
                  (std::vector<bool>{false, true, false, true}));
    EXPECT_EQ(*locks.are_held(LockKind::slow, {7, 5}), (std::vector<bool>{false, false}));
    EXPECT_EQ(*locks.are_held(LockKind::slow, {}), std::vector<bool>());
}

TEST_F(LocksTest, AllSessionsAtOnceExcludesEachOfThem)
{
    const Locks locks = open();
    auto one = locks.try_acquire(LockKind::session, 123456789);
    ASSERT_TRUE(one && *one);
    EXPECT_FALSE(*locks.try_all_sessions());
    (*one)->release();
    const auto all = locks.try_all_sessions();
    ASSERT_TRUE(all && *all);
    EXPECT_FALSE(*locks.try_acquire(LockKind::session, 1));
    EXPECT_TRUE(*locks.try_acquire(LockKind::fast, 1));
    EXPECT_TRUE(*locks.try_acquire(LockKind::writer, 0));
}

// A try reads no more of /proc than its holder's own file.
TEST_F(LocksTest, OneTryIsBusyAndNamesTheHolderByItsClaim)
{
    const Locks locks = open();
    for (const auto kind : {LockKind::slow, LockKind::fast, LockKind::writer, LockKind::destroy}) {
        const std::int64_t id = kind == LockKind::writer ? 0 : 7;
        {
            const Holder holder(holding(kind, id));
            const auto lock = loop_.wait_for(
                locks.acquire(loop_, kind, id, claim("ours"), "domain 7 (web)", kOneTry));
            ASSERT_FALSE(lock);
            EXPECT_EQ(lock.error().code, Errc::busy);
            EXPECT_NE(lock.error().message.find("pid " + std::to_string(holder.pid())),
                      std::string::npos)
                << lock.error().message;
            EXPECT_NE(lock.error().message.find("is not free"), std::string::npos);
        }
        EXPECT_TRUE(loop_.wait_for(
            locks.acquire(loop_, kind, id, claim("ours"), "domain 7 (web)", kOneTry)));
    }
}

TEST_F(LocksTest, TimeoutNamesTheHolder)
{
    const Locks locks = open();
    for (const auto kind : {LockKind::slow, LockKind::fast, LockKind::writer, LockKind::destroy}) {
        const std::int64_t id = kind == LockKind::writer ? 0 : 7;
        const Holder holder(holding(kind, id));
        const auto lock = take(locks, loop_, kind, id, milliseconds(20));
        ASSERT_FALSE(lock);
        EXPECT_EQ(lock.error().code, Errc::timeout);
        for (const std::string& part :
             {std::string(lock_name(kind)), std::string("domain 7 (web)"), std::string("theirs"),
              "pid " + std::to_string(holder.pid())})
            EXPECT_NE(lock.error().message.find(part), std::string::npos)
                << lock.error().message << " lacks " << part;
    }
}

TEST_F(LocksTest, FastLockIsHadSoonAfterItsRelease)
{
    const Locks locks = open();
    auto held = take(locks, loop_, LockKind::fast, 7);
    ASSERT_TRUE(held);
    auto waiting = locks.acquire(loop_, LockKind::fast, 7, claim("second"), "", in(seconds(20)));
    waiting.start();
    // A stopped holder must not freeze an embedder's loop: other tasks go on meanwhile.
    const auto other = [](Loop& l) -> Task<bool> {
        co_return co_await l.sleep(in(milliseconds(20)));
    };
    (void)loop_.wait_for(other(loop_));
    EXPECT_FALSE(waiting.done());
    held->release();
    while (!waiting.done())
        loop_.wait_and_dispatch();
    EXPECT_TRUE(waiting.take());
}

// Released: at once, by event. The timer alone would come some time within its pause.
TEST_F(LocksTest, SlowLockWakesItsWaiterAtOnce)
{
    const Locks locks = open();
    for (int round = 0; round < 5; ++round) {
        auto held = take(locks, loop_, LockKind::slow, 7);
        ASSERT_TRUE(held);
        auto waiting =
            locks.acquire(loop_, LockKind::slow, 7, claim("second"), "", in(seconds(20)));
        waiting.start();
        // By now the pauses are long, and nothing is due.
        const auto settled = in(milliseconds(150));
        while (Clock::now() < settled)
            loop_.dispatch();
        ASSERT_FALSE(waiting.done());

        held->release();
        loop_.dispatch();  // no time has passed

        EXPECT_TRUE(waiting.done()) << "round " << round;
        while (!waiting.done())
            loop_.wait_and_dispatch();
        EXPECT_TRUE(waiting.take());
    }
}

TEST_F(LocksTest, SlowLockIsHadWhenItsHolderIsKilled)
{
    const Locks locks = open();
    Holder holder(holding(LockKind::slow, 7));
    auto waiting = locks.acquire(loop_, LockKind::slow, 7, claim("second"), "", in(seconds(20)));
    waiting.start();
    const auto settled = in(milliseconds(100));
    while (Clock::now() < settled)
        loop_.dispatch();
    EXPECT_FALSE(waiting.done());

    holder.end();
    while (!waiting.done())
        loop_.wait_and_dispatch();
    EXPECT_TRUE(waiting.take());
    EXPECT_EQ(locks.claim(LockKind::slow, 7)->operation, "second");
}

// The fork handler has closed the child's copies: what the parent held goes with the parent, though
// the child lives on.
TEST_F(LocksTest, SlowLockIsHadWhenItsHolderIsKilledAndAForkedChildLivesOn)
{
    std::array<int, 2> leash{};  // the child ends when we close it
    ASSERT_EQ(pipe2(leash.data(), O_CLOEXEC), 0);
    Holder holder([&] {
        if (!holding(LockKind::slow, 7)()) return false;
        if (fork() == 0) {
            close(leash[1]);
            char byte = 0;
            _exit(read(leash[0], &byte, 1) == 0 ? 0 : 1);
        }
        return true;
    });
    const Locks locks = open();
    auto waiting = locks.acquire(loop_, LockKind::slow, 7, claim("second"), "", in(seconds(20)));
    waiting.start();
    const auto settled = in(milliseconds(100));
    while (Clock::now() < settled)
        loop_.dispatch();
    EXPECT_FALSE(waiting.done());

    holder.end();
    while (!waiting.done())
        loop_.wait_and_dispatch();
    EXPECT_TRUE(waiting.take());
    close(leash[0]);
    close(leash[1]);
}

// A holder whose descriptor lives on elsewhere is released without an event: the timer finds it.
TEST_F(LocksTest, SlowLockIsHadWithoutAnEvent)
{
    const Locks locks = open();
    const Fd raw(::open((directory_ / "slow").c_str(), O_RDWR | O_CLOEXEC));
    struct flock range {};
    range.l_type = F_WRLCK;
    range.l_whence = SEEK_SET;
    range.l_start = 7;
    range.l_len = 1;
    ASSERT_EQ(fcntl(raw.get(), F_OFD_SETLK, &range), 0);
    auto waiting = locks.acquire(loop_, LockKind::slow, 7, claim("second"), "", in(seconds(20)));
    waiting.start();
    loop_.dispatch();
    EXPECT_FALSE(waiting.done());

    range.l_type = F_UNLCK;
    ASSERT_EQ(fcntl(raw.get(), F_OFD_SETLK, &range), 0);  // and not closed
    while (!waiting.done())
        loop_.wait_and_dispatch();
    EXPECT_TRUE(waiting.take());
}

TEST_F(LocksTest, SlowLocksOfOthersDoNotCount)
{
    const Locks locks = open();
    auto held = take(locks, loop_, LockKind::slow, 7);
    auto waiting = locks.acquire(loop_, LockKind::slow, 7, claim("second"), "", in(seconds(20)));
    waiting.start();
    for (int i = 0; i < 10; ++i) {
        EXPECT_TRUE(take(locks, loop_, LockKind::slow, 8));  // taken and released: events
        loop_.dispatch();
        EXPECT_FALSE(waiting.done());
    }
    held->release();
    while (!waiting.done())
        loop_.wait_and_dispatch();
    EXPECT_TRUE(waiting.take());
}

TEST_F(LocksTest, WaitForASlowLockIsCancelledWithItsTask)
{
    Locks locks = open();
    locks.set_session(5);
    auto held = take(locks, loop_, LockKind::slow, 7);
    {
        auto waiting =
            locks.acquire(loop_, LockKind::slow, 7, claim("second"), "", in(seconds(20)));
        waiting.start();
        ASSERT_TRUE(locks.waiter(5));
        EXPECT_EQ(locks.waiter(5)->claim.operation, "second");
    }
    EXPECT_FALSE(locks.waiter(5)) << "it still says that it waits";
    held->release();
    loop_.dispatch();
    EXPECT_FALSE(*locks.is_held(LockKind::slow, 7)) << "taken without a holder";
    EXPECT_TRUE(take(locks, loop_, LockKind::slow, 7));
}

// An embedder's process may wait for several domains at once, and has one slot to say so.
TEST_F(LocksTest, WaitsOfOneSessionAreToldLongestFirst)
{
    Locks locks = open();
    locks.set_session(5);
    const auto seven = take(locks, loop_, LockKind::slow, 7);
    const auto eight = take(locks, loop_, LockKind::slow, 8);
    std::optional first =
        locks.acquire(loop_, LockKind::slow, 7, claim("first"), "", in(seconds(20)));
    auto second = locks.acquire(loop_, LockKind::slow, 8, claim("second"), "", in(seconds(20)));
    first->start();
    EXPECT_EQ(locks.waiter(5)->id, 7);
    EXPECT_EQ(locks.waiter(5)->claim.operation, "first");
    EXPECT_EQ(locks.waiter(5)->claim.pid, getpid());
    second.start();
    EXPECT_EQ(locks.waiter(5)->id, 7);
    EXPECT_EQ(locks.waiter(5)->claim.operation, "first, and 1 more");
    first.reset();
    EXPECT_EQ(locks.waiter(5)->id, 8);
    EXPECT_EQ(locks.waiter(5)->claim.operation, "second");
    EXPECT_FALSE(locks.waiter(6));
}

TEST_F(LocksTest, ClaimOfAProcessThatWaitedIsAsOldAsItsHold)
{
    const Locks locks = open();
    auto held = take(locks, loop_, LockKind::slow, 7);
    EXPECT_EQ(locks.claim(LockKind::slow, 7)->since_us, claim("").since_us) << "it did not wait";
    auto waiting = locks.acquire(loop_, LockKind::slow, 7, claim("second"), "", in(seconds(20)));
    waiting.start();
    const auto released = now_us();
    held->release();
    while (!waiting.done())
        loop_.wait_and_dispatch();
    EXPECT_GE(locks.claim(LockKind::slow, 7)->since_us, released);
}

// ---- Breaking a slow lock ----

TEST_F(LocksTest, BrokenLockIsFreeAndTheOldHoldHasNoPartInIt)
{
    const Locks locks = open();
    const Locks others = open();
    auto old = take(locks, loop_, LockKind::slow, 7);
    ASSERT_TRUE(old && locks.still_current(*old, 7));
    EXPECT_TRUE(*others.is_held(LockKind::slow, 7));

    ASSERT_TRUE(others.break_slow(7));

    EXPECT_TRUE(old->held()) << "the kernel takes it from no holder";
    EXPECT_FALSE(locks.still_current(*old, 7));
    EXPECT_FALSE(*locks.is_held(LockKind::slow, 7));
    auto fresh = take(others, loop_, LockKind::slow, 7);
    ASSERT_TRUE(fresh);
    EXPECT_TRUE(others.still_current(*fresh, 7));
    EXPECT_FALSE(*locks.try_acquire(LockKind::slow, 7));
    EXPECT_FALSE(*locks.try_shared(LockKind::slow, 7));
    old->release();
    EXPECT_TRUE(*locks.is_held(LockKind::slow, 7)) << "the old hold let go of the new one";
    // Others' bytes are where they were.
    EXPECT_TRUE(*locks.try_acquire(LockKind::slow, 8));
    EXPECT_TRUE(*locks.try_acquire(LockKind::fast, 7));
}

TEST_F(LocksTest, WaiterGetsTheLockWhenItIsBroken)
{
    const Locks locks = open();
    const Locks others = open();
    const auto held = take(locks, loop_, LockKind::slow, 7);
    auto waiting = locks.acquire(loop_, LockKind::slow, 7, claim("second"), "", in(seconds(20)));
    waiting.start();
    const auto settled = in(milliseconds(150));  // by now nothing is due, as above
    while (Clock::now() < settled)
        loop_.dispatch();
    ASSERT_FALSE(waiting.done());

    ASSERT_TRUE(others.break_slow(7));
    others.wake_slow_waiters();
    loop_.dispatch();  // no time has passed

    EXPECT_TRUE(waiting.done()) << "it was not woken";
    while (!waiting.done())
        loop_.wait_and_dispatch();
    const auto lock = waiting.take();
    ASSERT_TRUE(lock);
    EXPECT_TRUE(locks.still_current(*lock, 7));
}

TEST_F(LocksTest, WaiterOfAFileThatIsReplacedIsTold)
{
    const Locks locks = open();
    auto held = take(locks, loop_, LockKind::slow, 7);
    auto waiting = locks.acquire(loop_, LockKind::slow, 7, claim("second"), "", in(seconds(20)));
    waiting.start();
    std::filesystem::rename(directory_ / "slow", directory_ / "slow.away");
    LockFile::create(directory_ / "slow", 0600);
    EXPECT_FALSE(locks.unchanged(locks.directory().names_now()));
    held->release();
    while (!waiting.done())
        loop_.wait_and_dispatch();
    auto lock = waiting.take();
    ASSERT_FALSE(lock);
    EXPECT_EQ(lock.error().code, Errc::lost);
}

// Looking takes no exclusive lock and writes nothing.
TEST_F(LocksTest, LookingOpensReadOnly)
{
    const auto looking = Locks::open(directory_.path(), false);
    ASSERT_TRUE(looking);
    auto shared = looking->try_shared(LockKind::slow, 7);
    ASSERT_TRUE(shared && *shared);
    EXPECT_FALSE(*open().try_acquire(LockKind::slow, 7)) << "not while another looks";
    EXPECT_EQ(test::read_file(directory_ / "slow"), "");
    (*shared)->release();
    const auto held = open().try_acquire(LockKind::slow, 7, claim("x"));
    EXPECT_FALSE(*looking->try_shared(LockKind::slow, 7));
    EXPECT_EQ(looking->claim(LockKind::slow, 7)->operation, "x");
}

// ---- The order, R7 ----

TEST_F(LocksTest, NothingIsTakenInsideASection)
{
    const Locks locks = open();
    const LockOrder::Section section;
    for (const auto kind : {LockKind::slow, LockKind::fast, LockKind::writer, LockKind::destroy}) {
        EXPECT_EQ(LockOrder::may_take(kind).error().code, Errc::order);
        EXPECT_EQ(locks.try_acquire(kind, 1).error().code, Errc::order);
        auto lock = take(locks, loop_, kind, 1);
        ASSERT_FALSE(lock);
        EXPECT_EQ(lock.error().code, Errc::order);
        EXPECT_FALSE(*locks.is_held(kind, 1));
    }
    EXPECT_EQ(LockOrder::context_enter().error().code, Errc::order);
    EXPECT_EQ(LockOrder::may_block().error().code, Errc::order);
}

TEST_F(LocksTest, ContextLockLiesBetweenSlowAndFast)
{
    const Locks locks = open();
    EXPECT_EQ(LockOrder::context_leave().error().code, Errc::order);
    ASSERT_TRUE(LockOrder::context_enter());
    ASSERT_TRUE(LockOrder::context_enter());  // it is recursive
    EXPECT_EQ(LockOrder::may_block().error().code, Errc::order);
    EXPECT_TRUE(take(locks, loop_, LockKind::fast, 1));
    EXPECT_TRUE(take(locks, loop_, LockKind::writer, 0));
    ASSERT_TRUE(LockOrder::context_leave());
    EXPECT_EQ(LockOrder::may_block().error().code, Errc::order);
    ASSERT_TRUE(LockOrder::context_leave());
    EXPECT_TRUE(LockOrder::may_block());
    EXPECT_EQ(LockOrder::context_leave().error().code, Errc::order);
}

}  // namespace
}  // namespace xlstore
