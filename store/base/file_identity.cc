// SPDX-License-Identifier: MIT
#include "store/base/file_identity.hpp"

#include <sys/stat.h>

namespace xlstore {

std::optional<FileIdentity> file_identity(const std::string& path)
{
    struct stat st {};
    if (lstat(path.c_str(), &st) != 0) return std::nullopt;
    return FileIdentity{st.st_dev, st.st_ino};
}

}  // namespace xlstore
