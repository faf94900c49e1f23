// SPDX-License-Identifier: MIT
// The environment is read at each passing, since a harness forks and sets it in the child, and
// without memory of its own: a point may stand where none is to be had. Passings are counted by
// process: a forked child begins at nought.
#include "store/testing/crash_point.hpp"

#ifdef XLSTORE_CRASH_POINTS
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#endif

namespace xlstore {

namespace {

constexpr bool all_distinct()
{
    for (std::size_t a = 0; a < std::size(kCrashPoints); ++a)
        for (std::size_t b = 0; b < a; ++b)
            if (kCrashPoints[a] == kCrashPoints[b]) return false;
    return true;
}
static_assert(all_distinct(), "a crash point has two rows: its passings would be counted apart");

}  // namespace

std::span<const std::string_view> crash_points() noexcept
{
    return kCrashPoints;
}

#ifdef XLSTORE_CRASH_POINTS

namespace {

std::atomic<std::uint64_t> passings[std::size(kCrashPoints)];
std::atomic<pid_t> counted_process{0};

struct Chosen {
    std::string_view name;
    std::uint64_t passing = 1;
};

Chosen parse(std::string_view text) noexcept
{
    Chosen chosen{text};
    if (const auto colon = text.find(':'); colon != std::string_view::npos) {
        chosen.name = text.substr(0, colon);
        const std::string_view digits = text.substr(colon + 1);
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), chosen.passing);
        if (error != std::errc{} || end != digits.data() + digits.size()) chosen.passing = 0;
    }
    if (chosen.passing == 0 || !std::ranges::count(kCrashPoints, chosen.name)) std::abort();
    return chosen;
}

bool is_chosen(const char* variable, std::size_t row, std::uint64_t passing) noexcept
{
    // Read each time and not remembered: a harness forks and sets it in the child.
    const char* text = std::getenv(variable);
    for (std::string_view rest = text ? text : ""; !rest.empty();) {
        const auto comma = std::min(rest.find(','), rest.size());
        const Chosen chosen = parse(rest.substr(0, comma));
        if (chosen.name == kCrashPoints[row] && chosen.passing == passing) return true;
        rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    return false;
}

}  // namespace

bool crash_points_active() noexcept
{
    return true;
}

void crash_point_passed(std::size_t row) noexcept
{
    // What a parent passed before it forked is no passing of this process.
    if (counted_process.exchange(::getpid()) != ::getpid())
        for (auto& count : passings)
            count = 0;
    const std::uint64_t passing = passings[row].fetch_add(1) + 1;
    if (is_chosen("XLSTORE_STOP_AT", row, passing)) ::kill(::getpid(), SIGSTOP);
    if (!is_chosen("XLSTORE_CRASH_AT", row, passing)) return;
    // SIGKILL runs no handler and no destructor, and the kernel closes what was open: just what
    // happens to a toolstack that is killed.
    ::kill(::getpid(), SIGKILL);
    for (;;)
        ::pause();
}

#else

bool crash_points_active() noexcept
{
    return false;
}

void crash_point_passed(std::size_t) noexcept {}

#endif

}  // namespace xlstore
