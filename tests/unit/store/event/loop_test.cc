// SPDX-License-Identifier: MIT
#include "store/event/loop.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <stdexcept>
#include <vector>

#include "store/base/error.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::in;

using std::chrono::milliseconds;
using std::chrono::seconds;

bool is_readable(int fd)
{
    pollfd entry{fd, POLLIN, 0};
    return poll(&entry, 1, 0) == 1;
}

struct Pair {
    Fd a;
    Fd b;
    Pair()
    {
        std::array<int, 2> ends{};
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()),
                  0);
        a.reset(ends[0]);
        b.reset(ends[1]);
    }
    void say() const { EXPECT_EQ(write(b.get(), "x", 1), 1); }
};

Task<bool> wait_readable(Loop& loop, int fd, Deadline until)
{
    co_return co_await loop.readable(fd, until);
}

Task<bool> wait_writable(Loop& loop, int fd, Deadline until)
{
    co_return co_await loop.writable(fd, until);
}

Task<void> sleep_then_note(Loop& loop, Deadline until, int number, std::vector<int>& order)
{
    EXPECT_FALSE(co_await loop.sleep(until));
    order.push_back(number);
}

TEST(LoopTest, ReadableTellsDataFromTheDeadline)
{
    Loop loop;
    Pair pair;
    EXPECT_FALSE(loop.wait_for(wait_readable(loop, pair.a.get(), in(milliseconds(5)))));
    pair.say();
    EXPECT_TRUE(loop.wait_for(wait_readable(loop, pair.a.get(), in(seconds(20)))));
    // What was there before the wait counts, even when the deadline is over.
    EXPECT_TRUE(loop.wait_for(wait_readable(loop, pair.a.get(), in(seconds(20)))));
}

TEST(LoopTest, HangUpIsReadable)
{
    Loop loop;
    Pair pair;
    auto waiting = wait_readable(loop, pair.a.get(), in(seconds(20)));
    waiting.start();
    pair.b.reset();
    loop.dispatch();
    ASSERT_TRUE(waiting.done());
    EXPECT_TRUE(waiting.take());
}

TEST(LoopTest, WritableWhenTheOtherSideReads)
{
    Loop loop;
    Pair pair;
    EXPECT_TRUE(loop.wait_for(wait_writable(loop, pair.a.get(), in(seconds(20)))));
    std::array<char, 65536> block{};
    while (write(pair.a.get(), block.data(), block.size()) > 0) {
    }
    EXPECT_FALSE(loop.wait_for(wait_writable(loop, pair.a.get(), in(milliseconds(5)))));
    while (read(pair.b.get(), block.data(), block.size()) > 0) {
    }
    EXPECT_TRUE(loop.wait_for(wait_writable(loop, pair.a.get(), in(seconds(20)))));
}

TEST(LoopTest, DeadlinesComeInTheirOrder)
{
    Loop loop;
    std::vector<int> order;
    std::vector<Task<void>> tasks;
    const auto now = Clock::now();
    const std::array<int, 6> delays = {30, 5, 20, -1000, 5, 0};  // of ms; the past is due at once
    for (int i = 0; i < 6; ++i)
        tasks.push_back(sleep_then_note(
            loop, now + milliseconds(delays[static_cast<std::size_t>(i)]), i, order));
    for (auto& task : tasks)
        task.start();
    EXPECT_TRUE(order.empty());  // never within the caller
    while (order.size() < 6)
        loop.wait_and_dispatch();
    EXPECT_EQ(order, (std::vector<int>{3, 5, 1, 4, 2, 0}));
    EXPECT_GE(Clock::now() - now, milliseconds(30));
}

// A deadline at the beginning of the clock must not disarm the timer.
TEST(LoopTest, DeadlineBeforeAllTimeIsDueAtOnce)
{
    Loop loop;
    std::vector<int> order;
    auto task = sleep_then_note(loop, Deadline(), 1, order);
    task.start();
    EXPECT_TRUE(is_readable(loop.fd()));
    loop.dispatch();
    EXPECT_EQ(order.size(), 1U);
}

// The contract with an embedder: one descriptor, waited for as readable, no time-outs to keep.
TEST(LoopTest, DescriptorIsReadableWhenAndOnlyWhenSomethingIsDue)
{
    Loop loop;
    const int fd = loop.fd();
    Pair pair;
    std::vector<int> order;
    EXPECT_FALSE(is_readable(fd));
    auto reading = wait_readable(loop, pair.a.get(), Deadline::max());
    auto sleeping = sleep_then_note(loop, in(milliseconds(20)), 1, order);
    reading.start();
    sleeping.start();
    EXPECT_FALSE(is_readable(fd));

    pair.say();
    EXPECT_TRUE(is_readable(fd));
    loop.dispatch();
    EXPECT_TRUE(reading.done());
    EXPECT_FALSE(is_readable(fd)) << "nothing waits for that descriptor any more";

    pollfd entry{fd, POLLIN, 0};
    EXPECT_EQ(poll(&entry, 1, 20'000), 1);
    loop.dispatch();
    EXPECT_EQ(order.size(), 1U);
    EXPECT_FALSE(is_readable(fd));
    EXPECT_EQ(loop.fd(), fd);
}

// A timer set while an earlier one is armed, and one whose waiter is gone.
TEST(LoopTest, EarlierDeadlineIsNotLateAndACancelledOneIsNotDue)
{
    Loop loop;
    std::vector<int> order;
    auto late = sleep_then_note(loop, in(seconds(100)), 1, order);
    late.start();
    auto early = sleep_then_note(loop, in(milliseconds(10)), 2, order);
    early.start();
    {
        auto cancelled = sleep_then_note(loop, in(milliseconds(1)), 3, order);
        cancelled.start();
    }
    const auto begun = Clock::now();
    while (order.empty())
        loop.wait_and_dispatch();
    EXPECT_EQ(order, std::vector<int>{2});
    EXPECT_LT(Clock::now() - begun, seconds(50));
}

struct Witness {
    bool& gone;
    explicit Witness(bool& flag) : gone(flag) {}
    Witness(const Witness&) = delete;
    Witness& operator=(const Witness&) = delete;
    ~Witness() { gone = true; }
};

TEST(LoopTest, DestroyingATaskCancelsItWhereItWaits)
{
    Loop loop;
    Pair pair;
    bool gone = false;
    bool went_on = false;
    {
        auto inner = [](Loop& l, int fd, bool& flag) -> Task<void> {
            const Witness witness(flag);
            (void)co_await l.readable(fd, Deadline::max());
        };
        auto outer = [](Task<void> task, bool& flag) -> Task<void> {
            co_await std::move(task);
            flag = true;
        };
        auto task = outer(inner(loop, pair.a.get(), gone), went_on);
        task.start();
        EXPECT_FALSE(gone);
    }
    EXPECT_TRUE(gone);
    pair.say();
    EXPECT_FALSE(is_readable(loop.fd()));
    loop.dispatch();
    EXPECT_FALSE(went_on);
    // The descriptor may be waited for again.
    EXPECT_TRUE(loop.wait_for(wait_readable(loop, pair.a.get(), in(seconds(20)))));
}

// One event's task ends the task of another event that is ready in the same dispatch.
TEST(LoopTest, TaskMayEndAnotherOneThatIsReadyToo)
{
    Loop loop;
    Pair one;
    Pair two;
    std::optional<Task<void>> tasks[2];
    int ran = 0;
    const auto rival = [](Loop& l, int fd, std::optional<Task<void>>& other,
                          int& count) -> Task<void> {
        (void)co_await l.readable(fd, Deadline::max());
        ++count;
        other.reset();
    };
    tasks[0].emplace(rival(loop, one.a.get(), tasks[1], ran));
    tasks[1].emplace(rival(loop, two.a.get(), tasks[0], ran));
    tasks[0]->start();
    tasks[1]->start();
    one.say();
    two.say();
    loop.dispatch();
    EXPECT_EQ(ran, 1);
}

TEST(LoopTest, SecondWaiterOfOneDescriptorIsRefused)
{
    Loop loop;
    Pair pair;
    auto first = wait_readable(loop, pair.a.get(), Deadline::max());
    first.start();
    EXPECT_THROW(loop.wait_for(wait_readable(loop, pair.a.get(), Deadline::max())), IoError);
    pair.say();
    loop.dispatch();
    EXPECT_TRUE(first.done());
}

Task<int> one()
{
    co_return 1;
}

// Symmetric transfer overflows the stack here, without optimization or under a sanitizer.
TEST(LoopTest, AwaitsAMillionTasksThatEndAtOnce)
{
    Loop loop;
    const auto many = []() -> Task<int> {
        int sum = 0;
        for (int i = 0; i < 1'000'000; ++i)
            sum += co_await one();
        co_return sum;
    };
    EXPECT_EQ(loop.wait_for(many()), 1'000'000);
}

TEST(LoopTest, AwaitsManyTasksThatEndLater)
{
    Loop loop;
    const auto many = [](Loop& l) -> Task<int> {
        const auto later = [](Loop& inner) -> Task<int> {
            (void)co_await inner.sleep(Deadline());
            co_return 1;
        };
        int sum = 0;
        for (int i = 0; i < 10'000; ++i)
            sum += co_await later(l);
        co_return sum;
    };
    EXPECT_EQ(loop.wait_for(many(loop)), 10'000);
}

TEST(LoopTest, ExceptionsPassThroughTasks)
{
    Loop loop;
    const auto thrower = [](Loop& l, bool later) -> Task<int> {
        if (later) (void)co_await l.sleep(Deadline());
        throw std::runtime_error("no");
    };
    const auto outer = [](Task<int> task) -> Task<int> { co_return co_await std::move(task) + 1; };
    EXPECT_THROW(loop.wait_for(outer(thrower(loop, false))), std::runtime_error);
    EXPECT_THROW(loop.wait_for(outer(thrower(loop, true))), std::runtime_error);
}

}  // namespace
}  // namespace xlstore
