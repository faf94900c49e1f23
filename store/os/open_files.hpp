// SPDX-License-Identifier: MIT
// Which processes have something open, by /proc/PID/fd. Those that /proc hides from us are missing.
// Opens nothing but directories of /proc. Any thread.
#ifndef XLSTORE_STORE_OS_OPEN_FILES_HPP_
#define XLSTORE_STORE_OS_OPEN_FILES_HPP_

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "store/event/loop.hpp"

namespace xlstore {

struct NamedProcess {
    pid_t pid;
    std::string program;  ///< see program_of(): for messages, proves nothing
};
/// "pid 1234 (xl)".
[[nodiscard]] std::string describe(const NamedProcess& process);
/// The same of several, with commas between.
[[nodiscard]] std::string describe(const std::vector<NamedProcess>& processes);

/// One descriptor of a process.
struct OpenFile {
    pid_t pid;
    std::string number;  ///< as its file in /proc/PID/fd and fdinfo is called
    std::string target;  ///< what the link says: a path, "socket:[1234]"
};

/// The search for the processes of which `wanted` says yes to a descriptor. It takes as long as
/// there are descriptors on this host: a caller that must not block does it in pieces.
class FileSearch {
public:
    explicit FileSearch(std::function<bool(const OpenFile&)> wanted);

    /// Goes on until `until`, for one process at least; true: it is over.
    bool go_on(Deadline until);
    /// Those found so far, ascending by pid.
    [[nodiscard]] const std::vector<NamedProcess>& found() const noexcept { return found_; }

private:
    std::function<bool(const OpenFile&)> wanted_;
    std::vector<pid_t> left_;  // the next one last
    std::vector<NamedProcess> found_;
};

/// The whole of it.
[[nodiscard]] std::vector<NamedProcess> processes_with(std::function<bool(const OpenFile&)> wanted);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_OPEN_FILES_HPP_
