// SPDX-License-Identifier: MIT
#include "recovery/libxl/host_creator.hpp"

#include <unistd.h>

#include <array>
#include <string>
#include <string_view>

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

}  // namespace

std::optional<pid_t> creating_process()
{
    try {
        for (const auto pid : processes())
            if (creates(command_line(pid)) && getsid(pid) != pid) return pid;
    } catch (const IoError&) {  // /proc cannot be listed
    }
    return std::nullopt;
}

}  // namespace xlstore::recovery
