// SPDX-License-Identifier: MIT
#include "tools/xlstore/scope.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "store/os/process.hpp"
#include "tools/common/output.hpp"

namespace xlstore::tools {

namespace {

constexpr const char* kInstead =
    "leave --scope out, and give the toolstack's unit KillMode=process: xlstore(1), Under systemd";

std::vector<std::string> words_of(const std::string& command_line)
{
    std::vector<std::string> words;
    for (std::size_t at = 0; at < command_line.size();) {
        const auto end = std::min(command_line.find('\0', at), command_line.size());
        words.push_back(command_line.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

}  // namespace

std::vector<std::string> scope_command(std::vector<std::string> own, const std::string& domid,
                                       long pid)
{
    const auto behind = std::ranges::find(own, "--");
    own.erase(std::remove(own.begin(), behind, "--scope"), behind);
    std::vector<std::string> command = {"systemd-run",
                                        "--scope",
                                        "--collect",
                                        "--quiet",
                                        "--slice=machine.slice",
                                        "--unit=xlstore-" + domid + "-" + std::to_string(pid),
                                        "--description=guest " + domid + " (xlstore)",
                                        "--"};
    command.insert(command.end(), own.begin(), own.end());
    return command;
}

Error continue_in_scope(const std::string& domid)
{
    if (access("/run/systemd/system", F_OK) != 0)
        return Error(Errc::refused, "create --scope: systemd does not run here", kInstead);
    const auto own = words_of(command_line(getpid()));
    if (own.empty()) return Error(Errc::refused, "create --scope: /proc is not there", kInstead);
    auto words = scope_command(own, domid, getpid());
    std::vector<char*> pointers;
    for (auto& word : words)
        pointers.push_back(word.data());
    pointers.push_back(nullptr);
    execvp(pointers.front(), pointers.data());
    return Error(Errc::refused, "create --scope: systemd-run: " + errno_text(errno), kInstead);
}

}  // namespace xlstore::tools
