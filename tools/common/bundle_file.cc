// SPDX-License-Identifier: MIT
#include "tools/common/bundle_file.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "store/os/regular_file.hpp"
#include "tools/common/output.hpp"
#include "tools/common/tar.hpp"

namespace xlstore::tools {

Result<std::map<std::string, std::string>> read_bundle(const std::string& path)
{
    const auto bytes = path == "-" ? read_to_end(STDIN_FILENO, "standard input", kBundleBytesMax)
                                   : read_regular_file(path, kBundleBytesMax);
    if (!bytes) return bytes.error();
    auto members = untar(*bytes);
    if (!members) return Error(Errc::invalid, plain(path) + ": " + members.error().message);
    if (!members->contains("MANIFEST.json") || !members->contains("findings.json"))
        return Error(Errc::invalid, plain(path) + " has no MANIFEST.json: it is no bundle",
                     "'xlstore bundle FILE' makes one");
    return members;
}

PrivateDirectory::PrivateDirectory()
{
    const char* const below = std::getenv("TMPDIR");
    std::string name = std::string(below && *below ? below : "/tmp") + "/xlstore-bundle-XXXXXX";
    if (mkdtemp(name.data())) path_ = name;
}

PrivateDirectory::~PrivateDirectory()
{
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace xlstore::tools
