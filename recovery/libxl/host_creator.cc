// SPDX-License-Identifier: MIT
#include "recovery/libxl/host_creator.hpp"

#include <unistd.h>

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "store/base/error.hpp"
#include "store/os/process.hpp"

namespace xlstore::recovery {

namespace {

bool creates(std::string_view command_line)
{
    constexpr std::array<std::string_view, 3> kCommands = {"create", "restore", "migrate-receive"};
    const auto next = [&]() -> std::string_view {
        const auto end = command_line.find('\0');
        const auto word = command_line.substr(0, end);
        command_line.remove_prefix(end == std::string_view::npos ? command_line.size() : end + 1);
        return word;
    };
    const auto program = next();
    if (program.substr(program.rfind('/') + 1) != "xl") return false;
    while (!command_line.empty()) {
        const auto word = next();
        for (const auto command : kCommands)
            if (word == command) return true;
        if (!word.starts_with('-')) return false;
    }
    return false;
}

/// The file behind a descriptor of `pid`; "" when it cannot be read.
std::string open_file_of(pid_t pid, int descriptor)
{
    std::error_code error;
    const std::filesystem::path link =
        "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(descriptor);
    return std::filesystem::read_symlink(link, error).string();
}

/// The xl that stays behind for a domain that is made: do_daemonize() of xl leaves it at the head
/// of a session, with /dev/null to read and its log (".../xl-NAME.log", or ".log.1" when it has
/// been rotated) as both of its outputs. An xl that a unit of systemd's, setsid(1) or sshd has
/// started leads a session, too, and writes elsewhere. "": `pid` is none; else the log's name.
std::string log_if_left_behind(pid_t pid)
{
    if (getsid(pid) != pid || open_file_of(pid, 0) != "/dev/null") return {};
    const auto log = open_file_of(pid, 1);
    auto name = log.substr(log.rfind('/') + 1);
    const bool is_log = name.starts_with("xl-") && name.find(".log") != std::string::npos &&
                        open_file_of(pid, 2) == log;
    return is_log ? name : std::string();
}

}  // namespace

std::optional<pid_t> creating_process(const std::string& made_anew)
{
    const auto may_create = [&](pid_t pid) {
        const auto log = log_if_left_behind(pid);
        return log.empty() || (!made_anew.empty() && log.starts_with("xl-" + made_anew + ".log"));
    };
    try {
        for (const auto pid : processes())
            if (creates(command_line(pid)) && may_create(pid)) return pid;
    } catch (const IoError&) {  // /proc cannot be listed
    }
    return std::nullopt;
}

}  // namespace xlstore::recovery
