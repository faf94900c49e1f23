// SPDX-License-Identifier: MIT
// The real commands as child processes, and what they did.
#ifndef XLSTORE_TESTS_SUPPORT_COMMAND_HPP_
#define XLSTORE_TESTS_SUPPORT_COMMAND_HPP_

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "tests/support/process.hpp"

namespace xlstore::test {

/// What a command did.
struct Ran {
    int status = -1;  ///< exit status; 128 + signal when it was killed
    std::string out;
    std::string err;
    /// The most that it had resident, as far as it was seen while it ran (every 2 ms). Throws
    /// where there was no MemoryWatch.
    [[nodiscard]] long memory_kib() const { return most_kib.value(); }
    std::optional<long> most_kib;
};
/// While there is one, run() looks at the memory of what it runs, every 2 ms.
class MemoryWatch {
public:
    MemoryWatch() { ++watches_; }
    MemoryWatch(const MemoryWatch&) = delete;
    MemoryWatch& operator=(const MemoryWatch&) = delete;
    ~MemoryWatch() { --watches_; }
    [[nodiscard]] static bool any() { return watches_ > 0; }

private:
    static inline int watches_ = 0;
};
/// Runs a command to its end with these additions to the environment; killed at the deadline.
Ran run(const Words& command, const Environment& environment = {}, const std::string& input = {},
        std::chrono::seconds limit = std::chrono::seconds(60));
/// Why `command`, which does nothing but try a feature of the system, fails here; "": it does not.
std::string why_not(const Words& command);
/// `xlstore --store STORE words…` and `xlfsck --store STORE words…` of this build.
Ran xlstore(const std::string& store, Words words, const Environment& environment = {},
            const std::string& input = {});
Ran xlfsck(const std::string& store, Words words, const Environment& environment = {});
/// It is there, and may trace.
[[nodiscard]] bool strace_works();
/// A program of this build, or of the directory XLSTORE_BIN.
[[nodiscard]] std::string binary(const std::string& name);
/// The environment in which a process dies at its Nth passing of a crash point.
[[nodiscard]] Environment crash_at(const std::string& point, int passing = 1);
inline constexpr int kKilled = 128 + 9;

/// A child process that runs on until it is ended.
class Child {
public:
    explicit Child(const Words& command, const Environment& environment = {});
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child();
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    void signal(int number) const;
    /// Waits for its end; 128 + signal when it was killed.
    int wait();

private:
    pid_t pid_ = -1;
};

[[nodiscard]] testing::AssertionResult ended(const Ran& ran, int status);
[[nodiscard]] testing::AssertionResult contains(const std::string& text, const std::string& part);

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_COMMAND_HPP_
