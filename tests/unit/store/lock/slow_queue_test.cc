// SPDX-License-Identifier: MIT
#include "store/lock/slow_queue.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <list>
#include <vector>

#include "store/lock/locks.hpp"
#include "tests/support/open_descriptors.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::in;

/// Operations of one process that want the slow lock of incarnation 7.
class SlowQueueTest : public testing::Test {
protected:
    SlowQueueTest()
    {
        Locks::create(directory_.path());
        locks_.emplace(*Locks::open(directory_.path(), true));
        auto holder = locks_->try_acquire(LockKind::slow, 7, Claim{});
        holder_ = std::move(**holder);
    }
    /// Takes the lock, says its number, and lets go.
    Task<void> take(int number, Deadline until)
    {
        Claim claim;
        std::string subject = "domain 7 (web)";
        const auto lock = co_await locks_->acquire(loop_, LockKind::slow, 7, std::move(claim),
                                                   std::move(subject), until);
        ended_.push_back(lock ? number : -number);
        if (!lock) message_ = lock.error().message;
    }
    void start(int number, milliseconds patience = seconds(20))
    {
        tasks_.push_back(take(number, in(patience)));
        tasks_.back().start();
    }
    void run_until(std::size_t count)
    {
        while (ended_.size() < count)
            loop_.wait_and_dispatch();
    }

    test::ScratchDirectory directory_;
    Loop loop_;
    std::optional<Locks> locks_;
    std::optional<ByteLock> holder_;
    std::vector<int> ended_;  // numbers in the order of their ends, negative: without the lock
    std::string message_;
    std::list<Task<void>> tasks_;
};

TEST_F(SlowQueueTest, TakesTurnsInTheOrderOfSubmission)
{
    for (int i = 1; i <= 300; ++i)
        start(i);
    holder_.reset();
    run_until(300);
    std::vector<int> expected;
    for (int i = 1; i <= 300; ++i)
        expected.push_back(i);
    EXPECT_EQ(ended_, expected);
}

TEST_F(SlowQueueTest, ThousandWaitersNeedNoMoreDescriptorsThanOne)
{
    start(1);
    const auto with_one = test::open_descriptors();
    for (int i = 2; i <= 1000; ++i)
        start(i);
    EXPECT_EQ(test::open_descriptors(), with_one);
    tasks_.clear();
    EXPECT_LT(test::open_descriptors(), with_one);
}

TEST_F(SlowQueueTest, NewcomerDoesNotOvertakeThoseWhoWait)
{
    start(1);
    start(2);
    holder_.reset();
    start(3);  // the lock is free at this moment
    EXPECT_TRUE(ended_.empty());
    run_until(3);
    EXPECT_EQ(ended_, (std::vector{1, 2, 3}));
}

TEST_F(SlowQueueTest, CancelledOneLetsTheNextGoOn)
{
    for (int i = 1; i <= 4; ++i)
        start(i);
    tasks_.erase(std::next(tasks_.begin(), 2));
    tasks_.erase(tasks_.begin());
    holder_.reset();
    run_until(2);
    EXPECT_EQ(ended_, (std::vector{2, 4}));
}

TEST_F(SlowQueueTest, DeadlineOfOneLeavesTheOthersTheirPlaces)
{
    start(1);
    start(2, milliseconds(20));
    start(3);
    run_until(1);
    EXPECT_EQ(ended_, (std::vector{-2}));
    EXPECT_NE(message_.find("1 operation of this process came before this one"), std::string::npos)
        << message_;
    EXPECT_NE(message_.find("domain 7 (web)"), std::string::npos) << message_;
    holder_.reset();
    run_until(3);
    EXPECT_EQ(ended_, (std::vector{-2, 1, 3}));
}

TEST_F(SlowQueueTest, OtherDomainsAreNotHeldUp)
{
    start(1);
    const auto other = loop_.wait_for(locks_->acquire(loop_, LockKind::slow, 8, Claim{},
                                                      "domain 8 (db)", in(seconds(20))));
    EXPECT_TRUE(other);
    EXPECT_TRUE(ended_.empty());
}

}  // namespace
}  // namespace xlstore
