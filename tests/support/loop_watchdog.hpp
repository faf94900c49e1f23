// SPDX-License-Identifier: MIT
// R20: an embedder's loop is not kept. Drives a loop as an embedder does and sees whether a call of
// dispatch() slept: a second thread looks at what the first one does. Being off the processor is
// something else, so that a busy machine fails no test: what counts is one sleep, without a
// wake-up, that lasted longer than the bound. What a commit does on the store's own file system may
// take its time.
#ifndef XLSTORE_TESTS_SUPPORT_LOOP_WATCHDOG_HPP_
#define XLSTORE_TESTS_SUPPORT_LOOP_WATCHDOG_HPP_

#include <gtest/gtest.h>
#include <sys/types.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "store/event/loop.hpp"

namespace xlstore::test {

class LoopWatchdog {
public:
    static constexpr std::chrono::milliseconds kBound{50};

    /// Watches the calling thread. `free_it` is called, by another thread, when dispatch() has been
    /// held for ten seconds: it lets go of what holds it, so that the test fails and does not hang.
    explicit LoopWatchdog(std::function<void()> free_it = {});
    LoopWatchdog(const LoopWatchdog&) = delete;
    LoopWatchdog& operator=(const LoopWatchdog&) = delete;
    ~LoopWatchdog();

    /// Runs `task` to its end: waits for loop.fd(), and calls dispatch().
    template <class T>
    T run(Loop& loop, Task<T> task)
    {
        enter();
        task.start();
        leave();
        while (!task.done()) {
            wait(loop);
            enter();
            loop.dispatch();
            leave();
        }
        return task.take();
    }
    /// Failure: the longest sleep within dispatch(), and in which system call.
    [[nodiscard]] testing::AssertionResult never_held() const;

private:
    void enter() noexcept { ++turn_; }  // odd: within dispatch()
    void leave() noexcept { ++turn_; }
    static void wait(const Loop& loop);
    void watch();

    const pid_t thread_;
    std::function<void()> free_it_;
    std::atomic<unsigned> turn_{0};
    std::atomic<bool> enough_{false};
    mutable std::mutex mutex_;
    std::chrono::milliseconds longest_{0};  // guarded by mutex_
    std::string where_;                     // likewise
    std::thread watcher_;                   // the last member: it uses the others
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_LOOP_WATCHDOG_HPP_
