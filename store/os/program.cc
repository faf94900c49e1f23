// SPDX-License-Identifier: MIT
// A program is started behind the start barrier (store/os/child_process.hpp), as the leader of a
// process group of its own, and waited for by its pidfd. One that is not through in time is killed
// with its whole group. One that another process started is found by its environment.
#include "store/os/program.hpp"

#include <sys/stat.h>
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

// Of texts with a NUL between them: the first for which `is_it` holds.
template <typename Is>
std::optional<std::string_view> find_text(std::string_view texts, const Is& is_it)
{
    for (std::size_t from = 0; from < texts.size();) {
        const auto end = std::min(texts.find('\0', from), texts.size());
        const auto text = texts.substr(from, end - from);
        if (is_it(text)) return text;
        from = end + 1;
    }
    return std::nullopt;
}

std::optional<std::string_view> value_in(std::string_view environment, std::string_view variable)
{
    const auto entry = find_text(environment, [&](std::string_view text) {
        return text.starts_with(variable) && text.substr(variable.size()).starts_with('=');
    });
    if (!entry) return std::nullopt;
    return entry->substr(variable.size() + 1);
}

// Another user may give a process what environment and command line that one likes.
bool is_ours(pid_t pid)
{
    struct stat status {};
    return ::stat(("/proc/" + std::to_string(pid)).c_str(), &status) == 0 &&
           status.st_uid == ::geteuid();
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

std::optional<pid_t> find_program(
    const std::function<std::optional<std::string_view>(const VariableOf&)>& named)
{
    for (const pid_t pid : processes()) {
        if (pid == ::getpid() || !is_ours(pid) || ::getsid(pid) != pid) continue;
        const std::string environment = environment_of(pid);
        const auto word =
            named([&](std::string_view variable) { return value_in(environment, variable); });
        if (!word) continue;
        const std::string command = command_line(pid);
        if (find_text(command, [&](std::string_view text) { return text == *word; })) return pid;
    }
    return std::nullopt;
}

}  // namespace xlstore
