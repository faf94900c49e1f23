// SPDX-License-Identifier: MIT
#include "recovery/libxl/host_creator.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "store/base/error.hpp"
#include "store/os/process.hpp"

namespace xlstore::recovery {

namespace {

// "/usr/sbin/xl" -> "xl".
std::string_view program_of(std::string_view command_line)
{
    const auto path = command_line.substr(0, command_line.find('\0'));
    return path.substr(path.rfind('/') + 1);
}

// They ask libxenlight which domains there are.
bool only_asks(std::string_view program)
{
    return program == "xlfsck" || program == "xlstore";
}

bool creates(std::string_view command_line)
{
    constexpr std::array<std::string_view, 3> kCommands = {"create", "restore", "migrate-receive"};
    const auto next = [&]() -> std::string_view {
        const auto end = command_line.find('\0');
        const auto word = command_line.substr(0, end);
        command_line.remove_prefix(end == std::string_view::npos ? command_line.size() : end + 1);
        return word;
    };
    next();
    while (!command_line.empty()) {
        const auto word = next();
        for (const auto command : kCommands)
            if (word == command) return true;
        if (!word.starts_with('-')) return false;
    }
    return false;
}

/// The processes that libxl put between itself and the device model that each of them started.
/// They wait for it to end, create nothing, and outlive a libxl that is killed before it ends them.
std::set<pid_t> parents_of_device_models(const std::vector<pid_t>& all)
{
    using namespace std::string_literals;
    std::set<pid_t> parents;
    for (const auto pid : all)
        if (command_line(pid).find("\0-xen-domid\0"s) != std::string::npos)
            if (const auto parent = parent_of(pid)) parents.insert(*parent);
    return parents;
}

bool uses_libxenlight(pid_t pid)
{
    std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
    for (std::string line; std::getline(maps, line);)
        if (line.find("/libxenlight.so") != std::string::npos) return true;
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

// "xl-NAME.log.1" -> "NAME".
std::string name_in(const std::string& log)
{
    constexpr std::string_view kBegin = "xl-";
    return log.substr(kBegin.size(), log.rfind(".log") - kBegin.size());
}

/// What an xl that stays behind does, by the newest lines of its log. It logs as a shutdown reaches
/// it, before it does anything about it.
enum class Behind { waits, acts, unknown };

// "Waiting for domain NAME (domid 7) to die [pid 42]", then "Domain 7 has shut down, …". What is
// behind the descriptor is read, which may have been renamed or removed. A log that was cut tells
// nothing.
Behind what_it_does(pid_t pid)
{
    constexpr std::streamoff kNewest = 1 << 16;
    std::ifstream log("/proc/" + std::to_string(pid) + "/fd/1", std::ios::binary);
    log.seekg(0, std::ios::end);
    log.seekg(std::max<std::streamoff>(0, log.tellg() - kNewest));
    const std::string its_own = ") to die [pid " + std::to_string(pid) + "]";
    auto does = Behind::unknown;
    for (std::string line; std::getline(log, line);) {
        if (line.starts_with("Waiting for domain ") && line.ends_with(its_own))
            does = Behind::waits;
        else if (does == Behind::waits && line.find(" has shut down, ") != std::string::npos)
            does = Behind::acts;
    }
    return does;
}

struct LeftBehind {
    pid_t pid = 0;
    std::string name;  ///< that its domain had when it was created
    Behind does = Behind::unknown;
};

// One of those that stay behind for the domains that they have made. Where its log does not tell
// what it does, it is one whose domain is none of the others, by its name; where two of them have
// the name of another domain, one is of a domain that was renamed.
std::optional<pid_t> left_behind_for(const Unfinished& domain,
                                     const std::vector<LeftBehind>& behind)
{
    for (const auto& one : behind) {
        if (one.does == Behind::acts) return one.pid;
        if (one.does == Behind::waits) continue;
        const auto same = std::ranges::count(behind, one.name, &LeftBehind::name);
        if (same > std::ranges::count(domain.others, one.name)) return one.pid;
    }
    return std::nullopt;
}

}  // namespace

std::optional<Creator> creating_process(const Unfinished& domain)
{
    std::optional<Creator> other;
    std::vector<LeftBehind> behind;
    try {
        const auto all = processes();
        const auto between = parents_of_device_models(all);
        for (const auto pid : all) {
            if (between.contains(pid)) continue;
            const auto words = command_line(pid);
            const auto program = program_of(words);
            if (program == "xl") {
                if (!creates(words)) continue;
                const auto log = log_if_left_behind(pid);
                if (log.empty()) return Creator{pid, "xl, which creates a domain"};
                behind.push_back({pid, name_in(log), what_it_does(pid)});
            } else if (domain.is_new && !other && pid != getpid() && !only_asks(program) &&
                       uses_libxenlight(pid)) {
                other = Creator{
                    pid, std::string(program) + ", which uses libxenlight and may create domains"};
            }
        }
    } catch (const IoError&) {  // /proc cannot be listed
    }
    if (!domain.is_new) return std::nullopt;
    if (const auto pid = left_behind_for(domain, behind))
        return Creator{*pid, "xl, which makes its domain anew when the guest reboots"};
    return other;
}

}  // namespace xlstore::recovery
