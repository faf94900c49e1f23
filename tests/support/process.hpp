// SPDX-License-Identifier: MIT
// Processes of a test, and what /proc says of processes.
#ifndef XLSTORE_TESTS_SUPPORT_PROCESS_HPP_
#define XLSTORE_TESTS_SUPPORT_PROCESS_HPP_

#include <sys/types.h>

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/base/fd.hpp"

namespace xlstore::test {

using Words = std::vector<std::string>;
using Environment = std::map<std::string, std::string>;

/// Ends a test whose support does not work. @throws std::runtime_error, always.
[[noreturn]] inline void give_up(const std::string& what)
{
    throw std::runtime_error("test support: " + what);
}

/// Starts a command; its stdin, stdout and stderr, -1 is /dev/null. Throws when it cannot be run.
[[nodiscard]] pid_t spawn(const Words& command, const Environment& environment,
                          std::array<int, 3> stdio);
/// Waits for the end of a child; 128 + signal when it was killed.
int wait_for_pid(pid_t pid);
[[nodiscard]] std::array<Fd, 2> make_pipe();

/// Looks again and again, until it is true or the time is over.
bool wait_until(std::chrono::milliseconds limit, const std::function<bool()>& condition);

/// Processes, zombies omitted, with a word on their command line that holds `text`; those whose
/// program is QEMU.
[[nodiscard]] std::vector<pid_t> processes_with(const std::string& text);
[[nodiscard]] std::vector<pid_t> qemus_with(const std::string& text);
/// A pid that belongs to a living process (not to a zombie).
[[nodiscard]] bool is_alive(pid_t pid);

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_PROCESS_HPP_
