// SPDX-License-Identifier: MIT
#include "tools/common/output.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "store/text/plain_text.hpp"

namespace xlstore::tools {

Status status_of(const Error& error)
{
    switch (error.code) {
    case Errc::in_doubt:
    case Errc::unfinished:
        return Status::in_doubt;
    case Errc::not_found:
        return Status::not_found;
    default:
        return Status::refused;
    }
}

void fail_at_writes()
{
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
}

void print_error(std::string_view program, const Error& error)
{
    std::string text = std::string(program) + ": " + plain(error.message) + "\n";
    if (!error.advice.empty()) text += std::string(program) + ": " + plain(error.advice) + "\n";
    std::fputs(text.c_str(), stderr);
}

namespace {

// The other way round than the descriptor is used: reading or writing fails, as if it were closed.
// Where there is no /dev/null (a chroot, a bare /dev) an end of a pipe without the other one does.
bool hold(int fd)
{
    const bool is_read = fd == STDIN_FILENO;
    if (open("/dev/null", is_read ? O_WRONLY : O_RDONLY) == fd) return true;
    int ends[2];
    if (pipe(ends) != 0) return false;
    const int wrong = ends[is_read ? 1 : 0];
    const bool held = wrong == fd || dup2(wrong, fd) == fd;
    for (const int end : ends)
        if (end != fd) close(end);
    return held;
}

}  // namespace

void keep_owners_rights()
{
    umask(umask(0777) & 0077);
}

void hold_standard_descriptors()
{
    // The lowest free number is given out, so in ascending order each lands where it is missing.
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && !hold(fd)) std::_Exit(EXIT_FAILURE);
}

std::optional<std::string> output_trouble()
{
    errno = 0;
    const bool flushed = std::fflush(stdout) == 0;
    if (flushed && std::ferror(stdout) == 0) return std::nullopt;
    return flushed || errno == 0 ? "an earlier part could not be written" : errno_text(errno);
}

std::string plain(std::string_view text)
{
    std::string one_line(text);
    for (char& c : one_line)
        if (c == '\n' || c == '\r' || c == '\t') c = ' ';
    return plain_text(one_line, std::string::npos);
}

}  // namespace xlstore::tools
