// SPDX-License-Identifier: MIT
// A waiter is an awaitable on the stack of its coroutine. Suspended, it stands in the timers by its
// deadline and, if it waits for a descriptor, in epoll; woken by either, it leaves both before it
// resumes, and so it does when its coroutine is destroyed. One timerfd is armed to the earliest
// deadline. dispatch() takes one event at a time from epoll, because what one waiter does may end
// another, and a bounded number of them, so that the embedder's own loop has its turn.
#include "store/event/loop.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

#include "store/base/error.hpp"

namespace xlstore {

namespace {
// One dispatch handles at most this many events, so that a busy descriptor cannot keep the
// embedder's own loop from its turn.
constexpr int kEventsPerDispatch = 64;
}  // namespace

Loop::Loop() : epoll_(epoll_create1(EPOLL_CLOEXEC))
{
    if (!epoll_) throw IoError(errno, "cannot create an epoll descriptor");
    timer_ = ForkClosedFd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!timer_) throw IoError(errno, "cannot create a timer descriptor");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = timer_.get();
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, timer_.get(), &event) != 0)
        throw IoError(errno, "cannot watch the timer descriptor");
}

Loop::~Loop() = default;

Loop::Waiter Loop::readable(int fd, Deadline until)
{
    return Waiter(*this, fd, EPOLLIN, until);
}
Loop::Waiter Loop::writable(int fd, Deadline until)
{
    return Waiter(*this, fd, EPOLLOUT, until);
}
Loop::Waiter Loop::sleep(Deadline until)
{
    return Waiter(*this, -1, 0, until);
}

void Loop::arm_timer()
{
    Deadline next = timers_.empty() ? Deadline::max() : timers_.begin()->first;
    if (rung_) next = Deadline();
    if (next == armed_) return;
    itimerspec spec{};
    if (next != Deadline::max()) {
        // A zero it_value would disarm: a deadline in the past is due one nanosecond after boot.
        const auto since =
            std::chrono::duration_cast<std::chrono::nanoseconds>(next.time_since_epoch()).count();
        const auto due = since > 0 ? since : 1;
        spec.it_value.tv_sec = due / 1'000'000'000;
        spec.it_value.tv_nsec = due % 1'000'000'000;
    }
    if (timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr) != 0)
        throw IoError(errno, "cannot set the timer");
    armed_ = next;
}

void Loop::run_timers()
{
    std::uint64_t expirations = 0;
    [[maybe_unused]] const auto n = read(timer_.get(), &expirations, sizeof expirations);
    armed_ = Deadline::max();
    rung_ = false;
    const Deadline now = Clock::now();
    while (!timers_.empty() && timers_.begin()->first <= now)
        timers_.begin()->second->resume(false);
    arm_timer();
}

void Loop::dispatch()
{
    // One event a call: what one waiter does may end another, and a batch would name it still.
    for (int i = 0; i < kEventsPerDispatch; ++i) {
        epoll_event event{};
        const int n = epoll_wait(epoll_.get(), &event, 1, 0);
        if (n == 0) return;
        if (n < 0) {
            if (errno == EINTR) continue;
            throw IoError(errno, "cannot wait for events");
        }
        if (event.data.fd == timer_.get()) {
            run_timers();
        } else if (const auto it = by_fd_.find(event.data.fd); it != by_fd_.end()) {
            it->second->resume(true);
        }
    }
}

void Loop::ring()
{
    rung_ = true;
    arm_timer();
}

void Loop::wait_and_dispatch()
{
    pollfd p{epoll_.get(), POLLIN, 0};
    // ENOMEM: the kernel had no room for the wait; what is ready is looked at all the same.
    if (poll(&p, 1, -1) < 0 && errno != EINTR && errno != ENOMEM)
        throw IoError(errno, "cannot wait for events");
    dispatch();
}

void Loop::Waiter::await_suspend(std::coroutine_handle<> waiting)
{
    waiting_ = waiting;
    // What throws leaves nothing behind that names this waiter: the caller goes on with the
    // exception, and this object ends.
    timer_ = loop_.timers_.emplace(until_, this);
    attached_ = true;
    try {
        watch();
        loop_.arm_timer();
    } catch (...) {
        detach();
        throw;
    }
}

void Loop::Waiter::watch()
{
    if (fd_ < 0) return;
    // Two waiters of one descriptor would be a fault of this library; the second is refused.
    const auto [place, fresh] = loop_.by_fd_.try_emplace(fd_, this);
    if (!fresh) throw IoError(EEXIST, "cannot watch a descriptor");
    epoll_event event{};
    event.events = events_ | EPOLLRDHUP;
    event.data.fd = fd_;
    if (epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_ADD, fd_, &event) != 0) {
        const int error = errno;
        loop_.by_fd_.erase(place);
        throw IoError(error, "cannot watch a descriptor");
    }
    watched_ = true;
}

void Loop::Waiter::detach() noexcept
{
    if (!attached_) return;
    attached_ = false;
    if (std::exchange(watched_, false)) {
        epoll_ctl(loop_.epoll_.get(), EPOLL_CTL_DEL, fd_, nullptr);
        loop_.by_fd_.erase(fd_);
    }
    loop_.timers_.erase(timer_);
    // The timer may now ring early, once: run_timers() finds nothing due and arms it anew.
}

void Loop::Waiter::wake() noexcept
{
    if (!attached_) return;
    auto node = loop_.timers_.extract(timer_);
    node.key() = Deadline::min();
    timer_ = loop_.timers_.insert(std::move(node));
    try {
        loop_.arm_timer();
    } catch (const IoError&) {  // NOLINT(bugprone-empty-catch)
        // It is due: the next dispatch that a timer brings resumes it.
    }
}

void Loop::Waiter::resume(bool ready)
{
    detach();
    ready_ = ready;
    waiting_.resume();
}

}  // namespace xlstore
