// SPDX-License-Identifier: MIT
#include "store/base/directory_look.hpp"

#include <sys/stat.h>

#include <ctime>

namespace xlstore {

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
// Dates are of the kernel's tick, 10 ms at most, and of 10 ms on some file systems; those without
// parts of a second have steps of two seconds at most.
constexpr std::int64_t kCoarse = kSecond / 10;
constexpr std::int64_t kVeryCoarse = 3 * kSecond;
constexpr std::int64_t kLongest = kSecond;

std::int64_t in_ns(const timespec& time)
{
    return time.tv_sec * kSecond + time.tv_nsec;
}

std::int64_t clock_ns(clockid_t clock)
{
    timespec now{};
    clock_gettime(clock, &now);
    return in_ns(now);
}

}  // namespace

NamesState DirectoryLook::names_now()
{
    // Before the look: what changes later has this date at least.
    const auto now = clock_ns(CLOCK_REALTIME_COARSE);
    const auto running = clock_ns(CLOCK_MONOTONIC_COARSE);
    told_.reset();
    struct stat st {};
    if (lstat(path_.c_str(), &st) != 0) {
        seen_ = {};
        return told_;
    }
    const Seen seen{{st.st_dev, st.st_ino}, in_ns(st.st_ctim)};
    if (seen != seen_ || running - numbered_ns_ >= kLongest) {
        seen_ = seen;
        ++number_;
        numbered_ns_ = running;
    }
    const auto step = st.st_ctim.tv_nsec == 0 ? kVeryCoarse : kCoarse;
    if (now - seen.changed_ns > step) told_ = number_;
    return told_;
}

bool NamedFile::in_place(NamesState names) const
{
    if (names && names == seen_) return true;
    const bool there = file_identity(path_) == identity_;
    seen_ = there ? names : std::nullopt;
    return there;
}

}  // namespace xlstore
