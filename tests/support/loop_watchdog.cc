// SPDX-License-Identifier: MIT
#include "tests/support/loop_watchdog.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <sstream>

#include "tests/support/scratch.hpp"

namespace xlstore::test {

namespace {

constexpr std::chrono::milliseconds kLook{5};
constexpr std::chrono::seconds kHeldForGood{10};
// What a commit, and the end of a domain, do on the store's own file system: it may be busy.
constexpr long kStoring[] = {SYS_fdatasync, SYS_fsync, SYS_pwrite64, SYS_ftruncate, SYS_unlink};

/// What a thread does now. Two equal ones that are asleep are one sleep: a wake-up in between would
/// have counted as one more voluntary switch.
struct Seen {
    unsigned turn = 0;
    std::string switches;
    bool asleep = false;
    bool storing = false;
    std::string call;
};

std::string line_of(const std::string& text, const std::string& name)
{
    const auto at = text.find(name);
    return at == std::string::npos ? "" : text.substr(at, text.find('\n', at + 1) - at);
}

Seen look(pid_t thread, unsigned turn)
{
    const std::string directory = "/proc/self/task/" + std::to_string(thread) + "/";
    Seen seen;
    seen.turn = turn;
    const std::string status = read_file(directory + "status");
    seen.switches = line_of(status, "\nvoluntary_ctxt_switches");
    const std::string state = line_of(status, "\nState:");
    seen.asleep = state.find("S (") != std::string::npos || state.find("D (") != std::string::npos;
    seen.call = read_file(directory + "syscall");
    std::istringstream first(seen.call);
    long number = -1;
    first >> number;
    // -1: no call, such as a page that is read in.
    seen.storing = number < 0 || std::ranges::find(kStoring, number) != std::end(kStoring);
    return seen;
}

}  // namespace

LoopWatchdog::LoopWatchdog(std::function<void()> free_it)
    : thread_(static_cast<pid_t>(::syscall(SYS_gettid))), free_it_(std::move(free_it))
{
    watcher_ = std::thread([this] { watch(); });
}

LoopWatchdog::~LoopWatchdog()
{
    enough_ = true;
    watcher_.join();
}

void LoopWatchdog::wait(const Loop& loop)
{
    pollfd entry{loop.fd(), POLLIN, 0};
    (void)::poll(&entry, 1, -1);
}

void LoopWatchdog::watch()
{
    Seen since;
    auto begun = Clock::now();
    while (!enough_) {
        std::this_thread::sleep_for(kLook);
        // The turn first and last: what was seen belongs to one turn, or is thrown away.
        const unsigned turn = turn_;
        Seen now = look(thread_, turn);
        if (turn_ != turn) continue;
        const bool same = turn % 2 == 1 && now.asleep && since.asleep && !now.storing &&
                          now.turn == since.turn && now.switches == since.switches;
        if (!same) {
            since = std::move(now);
            begun = Clock::now();
            continue;
        }
        const auto slept =
            std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun);
        {
            const std::lock_guard lock(mutex_);
            if (slept > longest_) {
                longest_ = slept;
                where_ = now.call;
            }
        }
        if (slept > kHeldForGood && free_it_) free_it_();
    }
}

testing::AssertionResult LoopWatchdog::never_held() const
{
    const std::lock_guard lock(mutex_);
    if (longest_ <= kBound) return testing::AssertionSuccess();
    return testing::AssertionFailure()
           << "dispatch() slept for " << longest_.count() << " ms in system call " << where_;
}

}  // namespace xlstore::test
