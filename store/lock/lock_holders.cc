// SPDX-License-Identifier: MIT
//   1. Of each process the links in /proc/PID/fd are read, which touches no file.
//   2. A link that ends in the file's name is looked at: device and inode have to be those of the
//      file.
//   3. /proc/PID/fdinfo of that descriptor tells its locks, byte by byte.
#include "store/lock/lock_holders.hpp"

#include <sys/stat.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

namespace xlstore {

namespace {

// lock:	1: OFDLCK  ADVISORY  WRITE -1 fe:00:10952707 7 7
bool tells_of_a_lock(const std::string& fdinfo, const LockedBytes& bytes)
{
    std::ifstream file(fdinfo);
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with("lock:")) continue;
        if (bytes.exclusive_alone && line.find(" WRITE ") == std::string::npos) continue;
        std::istringstream words(line);
        std::string word;
        for (int i = 0; i < 7; ++i)
            words >> word;
        std::int64_t from = 0;
        words >> from >> word;  // a number, or EOF
        std::int64_t to = std::numeric_limits<std::int64_t>::max();
        if (words) std::from_chars(word.data(), word.data() + word.size(), to);
        if (words && from <= bytes.last && to >= bytes.first) return true;
    }
    return false;
}

auto has_locked(const std::string& path, FileIdentity file, LockedBytes bytes)
{
    return [name = std::filesystem::path(path).filename(), file,
            bytes](const OpenFile& open) -> bool {
        // By name first: a stat of everything that others have open may hang on a dead server.
        if (std::filesystem::path(open.target).filename() != name) return false;
        const std::string process = "/proc/" + std::to_string(open.pid);
        struct stat st {};
        return stat((process + "/fd/" + open.number).c_str(), &st) == 0 &&
               FileIdentity{st.st_dev, st.st_ino} == file &&
               tells_of_a_lock(process + "/fdinfo/" + open.number, bytes);
    };
}

// Of the loop's time, before it may do something else.
constexpr auto kPiece = std::chrono::milliseconds(5);

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
    const LockedBytes bytes{first, last};
    return processes_with(has_locked(path, file, bytes));
}

Task<std::vector<LockHolder>> find_lock_holders(Loop& loop, std::string path, FileIdentity file,
                                                LockedBytes bytes)
{
    FileSearch search(has_locked(path, file, bytes));
    while (!search.go_on(Clock::now() + kPiece))
        (void)co_await loop.sleep(Clock::now());
    co_return search.found();
}

}  // namespace xlstore
