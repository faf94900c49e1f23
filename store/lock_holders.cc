// SPDX-License-Identifier: MIT
#include "store/lock_holders.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <system_error>

#include "store/process.hpp"

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

// lock:	1: OFDLCK  ADVISORY  WRITE -1 fe:00:10952707 7 7
bool tells_of_a_lock(const fs::path& fdinfo, std::int64_t first, std::int64_t last)
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

std::string describe(const LockHolder& holder)
{
    return "pid " + std::to_string(holder.pid) + " (" + holder.program + ")";
}

std::vector<LockHolder> lock_holders(const std::string& path, FileIdentity file, std::int64_t first,
                                     std::int64_t last)
{
    const auto name = fs::path(path).filename();
    std::vector<LockHolder> found;
    for (const auto& process : entries("/proc")) {
        const std::string word = process.filename();
        pid_t pid = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), pid);
        if (error != std::errc() || end != word.data() + word.size()) continue;
        for (const auto& fd : entries(process / "fd")) {
            // By name first: a stat of everything that others have open may hang on a dead server.
            std::error_code ignored;
            if (fs::read_symlink(fd, ignored).filename() != name) continue;
            struct stat st {};
            if (stat(fd.c_str(), &st) != 0 || FileIdentity{st.st_dev, st.st_ino} != file) continue;
            if (!tells_of_a_lock(process / "fdinfo" / fd.filename(), first, last)) continue;
            found.push_back(LockHolder{pid, program_of(pid)});
            break;
        }
    }
    std::ranges::sort(found, {}, &LockHolder::pid);
    return found;
}

}  // namespace xlstore
