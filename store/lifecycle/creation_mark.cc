// SPDX-License-Identifier: MIT
#include "store/lifecycle/creation_mark.hpp"

#include <sys/syscall.h>
#include <unistd.h>

namespace xlstore {

namespace {

constexpr std::string_view kVariable = "XLSTORE_CREATION=";
constexpr std::size_t kAtOnce = 100;

bool bears(pid_t pid, const std::string& wanted)
{
    const std::string environment = environment_of(pid);
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

Task<std::optional<MarkedProcess>> find_marked(Loop& loop, std::string mark)
{
    const std::string wanted = environment_with_mark(mark);
    std::size_t looked_at = 0;
    for (const pid_t pid : processes()) {
        if (++looked_at % kAtOnce == 0) (void)co_await loop.sleep(Clock::now());
        if (pid == getpid() || !bears(pid, wanted)) continue;
        // Once more with the process held: between the two the pid may have passed to another.
        PidFd process(Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U))));
        if (!process || !bears(pid, wanted) || process.dead()) continue;
        MarkedProcess found{pid, std::move(process)};
        co_return std::optional<MarkedProcess>(std::move(found));
    }
    co_return std::optional<MarkedProcess>();
}

}  // namespace xlstore
