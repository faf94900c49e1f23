// SPDX-License-Identifier: MIT
#include "store/base/file_identity.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace xlstore {

std::optional<FileIdentity> file_identity(const std::string& path)
{
    struct stat st {};
    if (lstat(path.c_str(), &st) != 0) return std::nullopt;
    return FileIdentity{st.st_dev, st.st_ino};
}

std::optional<FileIdentity> identity_of_open(int fd)
{
    struct statx st {};
    if (statx(fd, "", AT_EMPTY_PATH, STATX_INO, &st) != 0) return std::nullopt;
    return FileIdentity{makedev(st.stx_dev_major, st.stx_dev_minor), st.stx_ino};
}

}  // namespace xlstore
