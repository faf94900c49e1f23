// SPDX-License-Identifier: MIT
#include "store/os/file_upkeep.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <filesystem>

#include "store/base/error.hpp"
#include "store/base/fd.hpp"

namespace xlstore {

void set_access(const std::string& path, unsigned mode, std::optional<unsigned> group)
{
    // Before the mode: what lets a group read is set once it is the right group.
    if (group && chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0)
        throw IoError(errno, "cannot give " + path + " to the reading group");
    if (chmod(path.c_str(), mode) != 0) throw IoError(errno, "cannot set the mode of " + path);
}

std::string in_real_directory(const std::string& path)
{
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return path;
    std::error_code error;
    const auto directory = std::filesystem::canonical(path.substr(0, slash + 1), error);
    return error ? path : (directory / path.substr(slash + 1)).string();
}

void remove_file(const std::string& path, const char* suffix) noexcept
{
    std::array<char, PATH_MAX> name{};
    const int length = std::snprintf(name.data(), name.size(), "%s%s", path.c_str(), suffix);
    if (length > 0 && static_cast<std::size_t>(length) < name.size()) unlink(name.data());
}

void sync_directory(const std::string& path)
{
    const Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || fsync(directory.get()) != 0) throw IoError(errno, "cannot sync " + path);
}

}  // namespace xlstore
