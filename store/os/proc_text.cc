// SPDX-License-Identifier: MIT
#include "store/os/proc_text.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace xlstore {

std::optional<std::string> read_to_end(const Fd& fd)
{
    if (!fd) return std::nullopt;
    std::string text;
    char block[4096];
    for (;;) {
        const ssize_t n = ::read(fd.get(), block, sizeof block);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return std::nullopt;
        if (n == 0) return text;
        text.append(block, static_cast<std::size_t>(n));
    }
}

std::optional<std::string> read_proc_file(const char* path)
{
    return read_to_end(Fd(::open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)));
}

std::string proc_path(std::int64_t pid, const char* file)
{
    return "/proc/" + std::to_string(pid) + "/" + file;
}

// Field 2 is the program's name in parentheses, which may itself hold spaces and parentheses;
// nothing after it can, so count from the last one.
std::optional<std::string_view> field_of(std::string_view stat, int wanted)
{
    auto at = stat.rfind(')');
    for (int number = 3; at != std::string_view::npos; ++number) {
        at = stat.find_first_not_of(" \n", at + 1);
        if (at == std::string_view::npos) break;
        const auto end = std::min(stat.find_first_of(" \n", at), stat.size());
        if (number == wanted) return stat.substr(at, end - at);
        at = end;
    }
    return std::nullopt;
}

}  // namespace xlstore
