// SPDX-License-Identifier: MIT
#include "recovery/run_directory.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>

namespace xlstore::recovery {

namespace fs = std::filesystem;

std::optional<DomainId> incarnation_in(std::string_view name, std::string_view prefix)
{
    if (!name.starts_with(prefix)) return std::nullopt;
    name.remove_prefix(prefix.size());
    std::int64_t id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    const std::string_view rest(end, static_cast<std::size_t>(name.data() + name.size() - end));
    const bool ours = prefix == "qmp-" ? rest.empty() || rest.starts_with('-') : rest == ".log";
    if (error != std::errc() || id <= 0 || !ours) return std::nullopt;
    return DomainId{id};
}

std::int64_t highest_incarnation_in(const std::string& run)
{
    std::int64_t highest = 0;
    std::error_code error;
    for (fs::directory_iterator i(run, error), end; !error && i != end; i.increment(error))
        for (const char* prefix : {"qmp-", "qemu-"})
            if (const auto id = incarnation_in(i->path().filename().string(), prefix))
                highest = std::max(highest, value_of(*id));
    return highest;
}

std::vector<pid_t> processes()
{
    std::vector<pid_t> pids;
    std::error_code error;
    for (fs::directory_iterator i("/proc", error), end; !error && i != end; i.increment(error)) {
        const std::string name = i->path().filename().string();
        pid_t pid = 0;
        const auto [rest, wrong] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (wrong == std::errc() && *rest == '\0') pids.push_back(pid);
    }
    return pids;
}

}  // namespace xlstore::recovery
