// SPDX-License-Identifier: MIT
// A bundle ('xlstore bundle'), read where it has gone to.
#ifndef XLSTORE_TOOLS_COMMON_BUNDLE_FILE_HPP_
#define XLSTORE_TOOLS_COMMON_BUNDLE_FILE_HPP_

#include <cstddef>
#include <map>
#include <string>

#include "store/base/error.hpp"

namespace xlstore::tools {

inline constexpr std::size_t kBundleBytesMax = std::size_t{1} << 30;

/// Its members by name; MANIFEST.json and findings.json are among them, store.db where anything of
/// the database could be read. "-": standard input.
/// Errors: invalid (it is none), io.
Result<std::map<std::string, std::string>> read_bundle(const std::string& path);

/// A directory below $TMPDIR that no other user reads, gone with this object.
class PrivateDirectory {
public:
    PrivateDirectory();
    PrivateDirectory(const PrivateDirectory&) = delete;
    PrivateDirectory& operator=(const PrivateDirectory&) = delete;
    ~PrivateDirectory();
    /// "": none could be made; errno says why.
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_BUNDLE_FILE_HPP_
