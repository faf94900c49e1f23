// SPDX-License-Identifier: MIT
#include "recovery/salvage/registered_socket.hpp"

#include <filesystem>
#include <system_error>

#include "store/base/error.hpp"
#include "store/os/listener.hpp"

namespace xlstore::recovery {

namespace fs = std::filesystem;

std::optional<std::string> moved_socket(const std::string& run, const RegisteredSocket& registered)
try {
    if (file_identity(registered.path)) return std::nullopt;
    std::error_code error;
    for (fs::directory_iterator i(run, error), end; !error && i != end; i.increment(error)) {
        auto path = i->path().string();
        if (file_identity(path) == registered.file && who_listens(path) == registered.qemu)
            return path;
    }
    return std::nullopt;
} catch (const IoError&) {
    return std::nullopt;
}

}  // namespace xlstore::recovery
