// SPDX-License-Identifier: MIT
// The one seam to the outside: readable, writable, deadline (a child's end is its pidfd being
// readable). One epoll descriptor stands for all of it, a timerfd inside included, so that an
// embedder waits for one descriptor, always as readable, and never keeps a time-out for us.
// No thread, no signal. A loop belongs to one thread.
#ifndef XLSTORE_STORE_EVENT_LOOP_HPP_
#define XLSTORE_STORE_EVENT_LOOP_HPP_

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <map>
#include <utility>

#include "store/base/fd.hpp"
#include "store/event/task.hpp"

namespace xlstore {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;
/// Of one who does not wait: a lock is tried once. What ends so is busy, and no timeout.
inline constexpr Deadline kOneTry{};

class Loop {
public:
    Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    ~Loop();

    /// Readable whenever dispatch() has something to do. Never changes.
    [[nodiscard]] int fd() const noexcept { return epoll_.get(); }
    /// Runs what is ready and returns; never waits.
    void dispatch();
    /// Waits until something is ready, then dispatches.
    void wait_and_dispatch();
    /// Makes fd() readable until the next dispatch(), for work that waits outside of the loop.
    void ring();
    /// Runs `task` to its end on this loop. The blocking form of every operation.
    template <class T>
    T wait_for(Task<T> task)
    {
        task.start();
        while (!task.done())
            wait_and_dispatch();
        return task.take();
    }

    class Waiter;
    /// co_await loop.readable(fd, until): true when readable (or hung up), false at the deadline.
    /// At most one waiter a descriptor.
    [[nodiscard]] Waiter readable(int fd, Deadline until);
    [[nodiscard]] Waiter writable(int fd, Deadline until);
    /// co_await loop.sleep(until): always false.
    [[nodiscard]] Waiter sleep(Deadline until);

private:
    using Timers = std::multimap<Deadline, Waiter*>;
    void arm_timer();
    void run_timers();

    // Not in a child: taking a descriptor out of the epoll set there would take it out of its
    // parent's.
    ForkClosedFd epoll_;
    ForkClosedFd timer_;
    Timers timers_;
    std::map<int, Waiter*> by_fd_;
    Deadline armed_ = Deadline::max();
    bool rung_ = false;
};

class Loop::Waiter {
public:
    Waiter(Loop& loop, int fd, std::uint32_t events, Deadline until)
        : loop_(loop), fd_(fd), events_(events), until_(until)
    {}
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter() { detach(); }

    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting);
    bool await_resume() const noexcept { return ready_; }
    /// Ends the wait with the next dispatch, as its deadline would. For another coroutine of this
    /// loop. Does nothing to one that does not wait.
    void wake() noexcept;

private:
    friend class Loop;
    void watch();
    void detach() noexcept;
    void resume(bool ready);

    Loop& loop_;
    int fd_;
    std::uint32_t events_;
    Deadline until_;
    std::coroutine_handle<> waiting_;
    Timers::iterator timer_;
    bool attached_ = false;
    bool watched_ = false;
    bool ready_ = false;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_EVENT_LOOP_HPP_
