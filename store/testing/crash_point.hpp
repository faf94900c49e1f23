// SPDX-License-Identifier: MIT
// Named places at which a test lets the process die (SIGKILL), so that recovery is seen to cope
// with each of them, or stop (SIGSTOP), so that others meet it there. Compiled in only with
// XLSTORE_CRASH_POINTS; otherwise a point is no code at all, but its name is checked all the same.
//
//   XLSTORE_CRASH_AT=NAME[:N]   die at this process's Nth passing of NAME (1 if omitted)
//   XLSTORE_STOP_AT=NAME[:N]    stop there, until SIGCONT comes
// Each may be several, with commas between them.
//
// A point stands before or after one effect that the outside can see: a commit, a byte sent, a
// process begun or ended, a file gone. Any thread may pass one. A new point is a row here and a
// macro in its place; a name that is not in the table does not compile.
#ifndef XLSTORE_STORE_TESTING_CRASH_POINT_HPP_
#define XLSTORE_STORE_TESTING_CRASH_POINT_HPP_

#include <cstddef>
#include <span>
#include <string_view>

namespace xlstore {

// In the header, since the compiler looks names up in it.
inline constexpr std::string_view kCrashPoints[] = {
    "spawn.before_fork",
    "spawn.after_fork",
    "spawn.before_start_barrier",
    "spawn.after_start_barrier",
    "commit.before",
    "commit.after",
    "qmp.before_connect",
    "qmp.after_connect",
    "qmp.before_send",
    "qmp.after_send",
    "qmp.before_receive",
    "qmp.after_receive",
    "destroy.before_mark",
    "destroy.before_kill",
    "destroy.after_kill",
    "destroy.before_unlink",
    "destroy.after_unlink",
    "destroy.before_end",
    "xenstore.before_commit",
    "xenstore.after_commit",
    "libxl.before_write",
    "libxl.before_rename",
    "libxl.after_rename",
    "hotplug.before_script",
    "hotplug.after_script",
};

/// The row of `name`. A name without a row is no constant expression: the compiler stops here.
consteval std::size_t crash_point_row(std::string_view name)
{
    for (std::size_t row = 0; row < std::size(kCrashPoints); ++row)
        if (kCrashPoints[row] == name) return row;
    throw "no such row in kCrashPoints";
}

/// Every name, for a harness that dies at each in turn.
[[nodiscard]] std::span<const std::string_view> crash_points() noexcept;

/// Are the points compiled into the library? (Not: is one set.)
[[nodiscard]] bool crash_points_active() noexcept;

/// Counts a passing, and kills or stops the process if the environment asks for this one. What the
/// environment asks for and is not in the table ends in abort(): a harness that misspells a name
/// would otherwise test nothing, and pass.
void crash_point_passed(std::size_t row) noexcept;

}  // namespace xlstore

#ifdef XLSTORE_CRASH_POINTS
#define XLSTORE_CRASH_POINT(name) ::xlstore::crash_point_passed(::xlstore::crash_point_row(name))
#else
#define XLSTORE_CRASH_POINT(name) (static_cast<void>(::xlstore::crash_point_row(name)))
#endif

#endif  // XLSTORE_STORE_TESTING_CRASH_POINT_HPP_
