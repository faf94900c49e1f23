// SPDX-License-Identifier: MIT
#include "store/base/directory_look.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <ctime>

namespace xlstore {

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
// Dates are of the kernel's tick, 10 ms at most, and of 10 ms on some file systems; those without
// parts of a second have steps of two seconds at most.
constexpr std::int64_t kCoarse = kSecond / 10;
constexpr std::int64_t kVeryCoarse = 3 * kSecond;

std::int64_t in_ns(const timespec& time)
{
    return time.tv_sec * kSecond + time.tv_nsec;
}

// proc(5): a mount or an unmount in this namespace marks the file as having an error, once for each
// who has it open.
bool mounts_changed(int mounts)
{
    pollfd one{mounts, POLLPRI, 0};
    return poll(&one, 1, 0) != 0;
}

}  // namespace

DirectoryLook::DirectoryLook(std::string path)
    : path_(std::move(path)), mounts_(open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC))
{}

NamesState DirectoryLook::names_now()
{
    // Before the look: what changes later has this date at least.
    timespec now{};
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    told_.reset();
    if (!mounts_) return told_;
    const bool mounted = mounts_changed(mounts_.get());
    struct stat st {};
    if (stat(path_.c_str(), &st) != 0) {
        seen_ = {};
        return told_;
    }
    const Seen seen{{st.st_dev, st.st_ino}, in_ns(st.st_ctim)};
    if (seen != seen_ || mounted) {
        seen_ = seen;
        ++number_;
    }
    const auto step = st.st_ctim.tv_nsec == 0 ? kVeryCoarse : kCoarse;
    if (in_ns(now) - seen.changed_ns > step) told_ = number_;
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
