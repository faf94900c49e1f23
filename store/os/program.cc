// SPDX-License-Identifier: MIT
// A program is started behind the start barrier (store/os/child_process.hpp), as the leader of a
// process group of its own, and waited for by its pidfd. One that is not through in time is killed
// with its whole group. One that another process started is found by the mark in its environment.
#include "store/os/program.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string_view>

#include "store/base/fd.hpp"
#include "store/os/process.hpp"

namespace xlstore {

namespace {

/// The process group of a program that runs: killed, if it is not over at the end of this object.
class RunningGroup {
public:
    explicit RunningGroup(WaitingChild& leader) : leader_(leader) {}
    RunningGroup(const RunningGroup&) = delete;
    RunningGroup& operator=(const RunningGroup&) = delete;
    ~RunningGroup() { kill(); }
    void is_over() noexcept { over_ = true; }
    // While its leader lives, the number is no other group's.
    void kill() noexcept
    {
        if (over_ || generation_ != fork_generation()) return;
        over_ = true;
        try {
            if (!leader_.pidfd().dead()) ::kill(-leader_.pid(), SIGKILL);
        } catch (const IoError&) {  // NOLINT(bugprone-empty-catch): then it runs on
        }
    }

private:
    WaitingChild& leader_;
    std::uint64_t generation_ = fork_generation();
    bool over_ = false;
};

// Calls `visit` for each of texts with a NUL between them, until it returns true.
template <typename Visit>
bool any_text(std::string_view texts, const Visit& visit)
{
    for (std::size_t from = 0; from < texts.size();) {
        const auto end = std::min(texts.find('\0', from), texts.size());
        if (visit(texts.substr(from, end - from))) return true;
        from = end + 1;
    }
    return false;
}

}  // namespace

Task<Result<void>> run_program(Loop& loop, SpawnRequest request, Deadline until)
{
    const std::string program = request.argv.front();
    reap_programs();
    auto child = co_await spawn_waiting(loop, std::move(request), until);
    if (!child) co_return std::move(child).error();
    RunningGroup group(*child);
    auto begun = co_await child->open_start_barrier(loop, until);
    if (!begun) co_return std::move(begun).error();
    if (!co_await child->pidfd().ended(loop, until)) {
        group.kill();
        (void)co_await child->pidfd().ended(loop, Clock::now() + std::chrono::seconds(1));
        child->reap_if_dead();
        co_return Error(Errc::timeout, program + " was not through in time, and was killed");
    }
    group.is_over();
    child->reap_if_dead();
    const auto how = child->how_it_ended();
    if (how == "exited with status 0") co_return Result<void>();
    co_return Error(Errc::refused, program + " " + how.value_or("ended, and its status is lost"));
}

std::optional<pid_t> find_program(std::string_view mark, std::string_view variable)
{
    for (const pid_t pid : processes()) {
        if (pid == ::getpid()) continue;
        const std::string environment = environment_of(pid);
        if (!any_text(environment, [&](std::string_view text) { return text == mark; })) continue;
        const std::string command = command_line(pid);
        const bool is_run = any_text(environment, [&](std::string_view text) {
            if (!text.starts_with(variable) || text.size() <= variable.size()) return false;
            if (text[variable.size()] != '=') return false;
            const auto word = text.substr(variable.size() + 1);
            return any_text(command, [&](std::string_view given) { return given == word; });
        });
        if (is_run) return pid;
    }
    return std::nullopt;
}

}  // namespace xlstore
