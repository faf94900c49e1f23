// SPDX-License-Identifier: MIT
// A process inherits its environment, also over a double fork that hides it from its parent, and
// the kernel shows it to root. So each process of a creation has the creation's random mark, and no
// other process has it.
#include "store/lifecycle/creation_mark.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace xlstore {

namespace {

constexpr std::string_view kVariable = "XLSTORE_CREATION=";
constexpr std::size_t kAtOnce = 100;
// exec shows no environment until the new program's is set up, which takes less than these
// together.
constexpr int kLooksAtNone = 20;
constexpr auto kBetweenLooks = std::chrono::milliseconds(5);
// At least this long, however late the operation is already.
constexpr auto kLookTime = std::chrono::seconds(1);

bool contains_mark(const std::string& environment, const std::string& wanted)
{
    for (std::size_t from = 0; from < environment.size();) {
        const auto end = std::min(environment.find('\0', from), environment.size());
        if (std::string_view(environment).substr(from, end - from) == wanted) return true;
        from = end + 1;
    }
    return false;
}

}  // namespace

std::string environment_with_mark(const std::string& mark)
{
    return std::string(kVariable) + mark;
}

// One listing proves nothing: a process that is gone when it is looked at may have forked one that
// is not in it (a QEMU that daemonizes does so twice). So it lists again until there is none that
// it has not looked at.
Task<std::optional<MarkedProcess>> find_marked(Loop& loop, std::string mark, Deadline until)
{
    const Deadline limit = std::max(until, Clock::now() + kLookTime);
    const std::string wanted = environment_with_mark(mark);
    std::set<pid_t> settled;  // looked at, and seen not to bear it
    std::size_t looked_at = 0;
    for (int left = kLooksAtNone;;) {
        const std::vector<pid_t> listed = processes();
        std::set<pid_t> still;
        bool fresh = false;
        bool none_shown = false;
        for (const pid_t pid : listed) {
            if (pid == getpid() || settled.contains(pid)) {
                still.insert(pid);
                continue;
            }
            // A host may have thousands of processes: the embedder's other operations have their
            // turn in between.
            if (++looked_at % kAtOnce == 0) (void)co_await loop.sleep(Clock::now());
            const std::string environment = environment_of(pid);
            if (environment.empty() && has_program(pid)) {
                none_shown = true;
                continue;
            }
            fresh = true;
            if (!contains_mark(environment, wanted)) {
                still.insert(pid);
                continue;
            }
            // Once more with the process held: between the two the pid may have passed to another.
            PidFd process = PidFd::of(pid);
            if (!process && errno != ESRCH)
                throw IoError(errno, "cannot hold pid " + std::to_string(pid));
            if (!process || !contains_mark(environment_of(pid), wanted) || process.dead()) continue;
            MarkedProcess found{pid, std::move(process)};
            co_return std::optional<MarkedProcess>(std::move(found));
        }
        settled = std::move(still);
        if (fresh && Clock::now() >= limit)
            throw IoError(ETIMEDOUT, "processes start sooner than /proc can be looked through");
        if (fresh) continue;
        if (!none_shown || left-- == 0) co_return std::optional<MarkedProcess>();
        (void)co_await loop.sleep(Clock::now() + kBetweenLooks);
    }
}

}  // namespace xlstore
