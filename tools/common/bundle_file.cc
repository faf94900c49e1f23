// SPDX-License-Identifier: MIT
#include "tools/common/bundle_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "store/base/fd.hpp"
#include "store/os/regular_file.hpp"
#include "tools/common/output.hpp"
#include "tools/common/tar.hpp"

namespace xlstore::tools {

Result<std::map<std::string, std::string>> read_bundle(const std::string& path)
{
    const auto bytes = read_regular_file(path, kBundleBytesMax);
    if (!bytes) return bytes.error();
    auto members = untar(*bytes);
    if (!members) return Error(Errc::invalid, plain(path) + ": " + members.error().message);
    if (!members->contains("MANIFEST.json") || !members->contains("store.db"))
        return Error(Errc::invalid, plain(path) + " has no MANIFEST.json: it is no bundle",
                     "'xlstore bundle FILE' makes one");
    return members;
}

Result<void> write_new(const std::string& path, const std::string& bytes)
{
    const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file)
        return Error(errno == EEXIST ? Errc::exists : Errc::io,
                     plain(path) + ": " + errno_text(errno), "name a file that is not there");
    for (std::size_t written = 0; written < bytes.size();) {
        const auto more = write(file.get(), bytes.data() + written, bytes.size() - written);
        if (more < 0 && errno == EINTR) continue;
        if (more <= 0) {
            const int why = errno;
            (void)unlink(path.c_str());
            return Error(Errc::io, "write " + plain(path) + ": " + errno_text(why),
                         "nothing is left of it");
        }
        written += static_cast<std::size_t>(more);
    }
    return {};
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
