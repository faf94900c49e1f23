// SPDX-License-Identifier: MIT
#include "store/base/birth_time.hpp"

#include <fcntl.h>
#include <sys/stat.h>

namespace xlstore {

namespace {

constexpr std::int64_t kNanoseconds = 1'000'000'000;

std::int64_t birth_time_at(int fd, const char* path, int flags)
{
    struct statx st {};
    if (statx(fd, path, flags | AT_STATX_DONT_SYNC, STATX_BTIME, &st) != 0) return 0;
    if ((st.stx_mask & STATX_BTIME) == 0) return 0;
    return st.stx_btime.tv_sec * kNanoseconds + st.stx_btime.tv_nsec;
}

}  // namespace

std::int64_t birth_time(const std::string& path)
{
    return birth_time_at(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW);
}

std::int64_t birth_time(int fd)
{
    return birth_time_at(fd, "", AT_EMPTY_PATH);
}

}  // namespace xlstore
