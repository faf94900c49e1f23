// SPDX-License-Identifier: MIT
// Opened without blocking and without becoming a terminal, then asked what it is: a path may lead
// to a FIFO whose writer never comes. The size is asked first and counted while reading, since a
// file can grow, and files of /proc and sysfs say 0.
#include "store/os/regular_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "store/base/fd.hpp"

namespace xlstore {

namespace {

std::string_view kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

Error unread(const std::string& name, int number)
{
    return Error(Errc::io,
                 "cannot read " + name + ": " + std::generic_category().message(number),
                 "nothing was changed; name a file that can be read");
}

Error too_large(const std::string& name, std::size_t bytes_max)
{
    return Error(Errc::invalid,
                 name + " is larger than " + std::to_string(bytes_max) + " bytes",
                 "nothing was changed; name another file");
}

}  // namespace

Result<std::string> read_regular_file(const std::string& path, std::size_t bytes_max)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file) return unread(path, errno);
    struct stat seen{};
    if (::fstat(file.get(), &seen) != 0) return unread(path, errno);
    if (!S_ISREG(seen.st_mode))
        return Error(Errc::invalid,
                     path + " is " + std::string(kind_of(seen.st_mode)) + ", no regular file",
                     "nothing was changed; name a regular file");
    if (static_cast<std::size_t>(seen.st_size) > bytes_max) return too_large(path, bytes_max);
    return read_to_end(file.get(), path, bytes_max);
}

Result<std::string> read_to_end(int fd, const std::string& name, std::size_t bytes_max)
{
    std::string text;
    std::array<char, 16384> part{};
    for (;;) {
        const ssize_t count = ::read(fd, part.data(), part.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return unread(name, errno);
        if (count == 0) return text;
        text.append(part.data(), static_cast<std::size_t>(count));
        if (text.size() > bytes_max) return too_large(name, bytes_max);
    }
}

}  // namespace xlstore
