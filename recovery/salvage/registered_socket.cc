// SPDX-License-Identifier: MIT
#include "recovery/salvage/registered_socket.hpp"

#include <filesystem>
#include <system_error>

#include "store/base/file_identity.hpp"

namespace xlstore::recovery {

namespace fs = std::filesystem;

std::optional<std::string> moved_socket(const std::string& run, const std::string& path,
                                        std::int64_t device, std::int64_t inode)
{
    const FileIdentity registered{static_cast<std::uint64_t>(device),
                                  static_cast<std::uint64_t>(inode)};
    if (file_identity(path)) return std::nullopt;
    std::error_code error;
    for (fs::directory_iterator i(run, error), end; !error && i != end; i.increment(error))
        if (file_identity(i->path().string()) == registered) return i->path().string();
    return std::nullopt;
}

}  // namespace xlstore::recovery
