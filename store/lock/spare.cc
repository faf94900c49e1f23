// SPDX-License-Identifier: MIT
// Zeros are written, because a file that is only made longer reserves nothing; and it is given up
// from its end, in whole blocks of the file system, because a cut inside a block frees none. These
// functions run below SQLite, and in destructions that have no memory left: none of them allocates.
// A `spare` that is a link or a FIFO is another program's, and left alone.
#include "store/lock/spare.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <string_view>

#include "store/base/fd.hpp"
#include "store/model/store_paths.hpp"

namespace xlstore {

namespace {

constexpr std::int64_t kSpareBlock = 64 << 10;
constexpr std::array<char, kSpareBlock> kSpareZeros{};
constexpr mode_t kSpareMode = 0600;

// On the stack: a layer below SQLite has no memory to ask for.
using Path = std::array<char, PATH_MAX>;

bool path_beside(const char* database, Path& path)
{
    const std::string_view name(database);
    const auto slash = name.rfind('/');
    if (slash == std::string_view::npos) return false;
    const int length = std::snprintf(path.data(), path.size(), "%.*s/%.*s", static_cast<int>(slash),
                                     database, static_cast<int>(names::kSpare.size()),
                                     names::kSpare.data());
    return length > 0 && static_cast<std::size_t>(length) < path.size();
}

// No other program writes into it, so that it is written to its end, where it was cut off. The
// errno.
int fill(int file, std::int64_t size)
{
    while (size < limits::spare_bytes) {
        const auto length = std::min(kSpareBlock - size % kSpareBlock, limits::spare_bytes - size);
        const auto written =
            pwrite(file, kSpareZeros.data(), static_cast<std::size_t>(length), size);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno;
        if (written == 0) return ENOSPC;
        size += written;
    }
    return 0;
}

}  // namespace

bool is_lack_of_room(int error) noexcept
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

int fill_spare(const char* database) noexcept
{
    Path path;
    if (!path_beside(database, path)) return 0;
    // Not its times: where they were asked for, the kernel dates the next write into it anew.
    struct statx st {};
    const bool there = statx(AT_FDCWD, path.data(), AT_SYMLINK_NOFOLLOW,
                             STATX_TYPE | STATX_MODE | STATX_SIZE, &st) == 0;
    const auto size = static_cast<std::int64_t>(st.stx_size);
    if (there && (!S_ISREG(st.stx_mode) || size >= limits::spare_bytes)) return 0;
    const Fd file(
        ::open(path.data(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, kSpareMode));
    if (!file) return is_lack_of_room(errno) ? errno : 0;
    return fill(file.get(), there ? size : 0);
}

bool give_up_spare(const char* database, std::int64_t bytes) noexcept
{
    Path path;
    if (!path_beside(database, path)) return false;
    const Fd file(::open(path.data(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat st {};
    if (!file || fstat(file.get(), &st) != 0 || !S_ISREG(st.st_mode) ||
        st.st_size <= limits::spare_kept)
        return false;
    const auto wanted = (bytes + kSpareBlock - 1) / kSpareBlock * kSpareBlock;
    const auto left = std::max<std::int64_t>(limits::spare_kept, st.st_size - wanted);
    return ftruncate(file.get(), left) == 0;
}

}  // namespace xlstore
