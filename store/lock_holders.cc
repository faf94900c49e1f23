// SPDX-License-Identifier: MIT
#include "store/lock_holders.hpp"

#include <sys/stat.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

namespace xlstore {

namespace {

// lock:	1: OFDLCK  ADVISORY  WRITE -1 fe:00:10952707 7 7
bool tells_of_a_lock(const std::string& fdinfo, std::int64_t first, std::int64_t last)
{
    std::ifstream file(fdinfo);
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with("lock:")) continue;
        std::istringstream words(line);
        std::string word;
        for (int i = 0; i < 7; ++i)
            words >> word;
        std::int64_t from = 0;
        words >> from >> word;  // a number, or EOF
        std::int64_t to = std::numeric_limits<std::int64_t>::max();
        if (words) std::from_chars(word.data(), word.data() + word.size(), to);
        if (words && from <= last && to >= first) return true;
    }
    return false;
}

}  // namespace

ProcessId process_of(const Claim& claim)
{
    return ProcessId{claim.pid, claim.start_time, current_boot_id(), claim.pid_namespace};
}

std::string describe_holder(const Claim& claim)
{
    return describe(claim) + (is_stopped(process_of(claim)) ? ", which is stopped" : "");
}

std::vector<LockHolder> lock_holders(const std::string& path, FileIdentity file, std::int64_t first,
                                     std::int64_t last)
{
    const auto name = std::filesystem::path(path).filename();
    return processes_with([&](const OpenFile& open) {
        // By name first: a stat of everything that others have open may hang on a dead server.
        if (std::filesystem::path(open.target).filename() != name) return false;
        const std::string process = "/proc/" + std::to_string(open.pid);
        struct stat st {};
        return stat((process + "/fd/" + open.number).c_str(), &st) == 0 &&
               FileIdentity{st.st_dev, st.st_ino} == file &&
               tells_of_a_lock(process + "/fdinfo/" + open.number, first, last);
    });
}

}  // namespace xlstore
