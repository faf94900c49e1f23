// SPDX-License-Identifier: MIT
// Links below /proc/PID/fd are read, and nothing is opened: to open and close a database file would
// drop SQLite's own locks in this process. Processes come and go meanwhile, and those of other
// users hide: what cannot be read is passed over.
#include "store/os/open_files.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "store/os/process.hpp"
#include "store/text/number_text.hpp"

namespace xlstore {

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> entries(const fs::path& directory)
{
    std::vector<fs::path> found;
    std::error_code error;  // a process that has gone, or is not ours to look at
    for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
        found.push_back(at->path());
    return found;
}

}  // namespace

std::string describe(const NamedProcess& process)
{
    return "pid " + std::to_string(process.pid) + " (" + process.program + ")";
}

std::string describe(const std::vector<NamedProcess>& processes)
{
    std::string text;
    for (const auto& process : processes)
        text += (text.empty() ? "" : ", ") + describe(process);
    return text;
}

FileSearch::FileSearch(std::function<bool(const OpenFile&)> wanted) : wanted_(std::move(wanted))
{
    for (const auto& process : entries("/proc")) {
        const std::string word = process.filename();
        if (const auto pid = parse_number<pid_t>(word)) left_.push_back(*pid);
    }
    // Taken from the back: ascending, so that a message names them in a fixed order.
    std::ranges::sort(left_, std::greater<>());
}

bool FileSearch::go_on(Deadline until)
{
    while (!left_.empty()) {
        const pid_t pid = left_.back();
        left_.pop_back();
        for (const auto& fd : entries("/proc/" + std::to_string(pid) + "/fd")) {
            std::error_code ignored;
            const OpenFile file{pid, fd.filename(), fs::read_symlink(fd, ignored)};
            if (!wanted_(file)) continue;
            found_.push_back(NamedProcess{pid, program_of(pid)});
            break;
        }
        // At least one process a call, so that a caller whose deadline is over gets to the end,
        // too.
        if (Clock::now() >= until) break;
    }
    return left_.empty();
}

std::vector<NamedProcess> processes_with(std::function<bool(const OpenFile&)> wanted)
{
    FileSearch search(std::move(wanted));
    search.go_on(Deadline::max());
    return search.found();
}

}  // namespace xlstore
