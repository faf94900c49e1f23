// SPDX-License-Identifier: MIT
// A file is read as it is found: opened without following a link and without waiting for a FIFO's
// other end, and refused by its type and size before a byte is read. It is written as libxl does,
// a userdata-n renamed over userdata-d, and synced in between, which libxl omits. libxl's own
// userdata-n is left alone: of a libxl that was killed before its rename it may be the only copy.
#include "store/libxl/document_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <tuple>

#include "store/base/fd.hpp"
#include "store/base/limits.hpp"
#include "store/os/file_upkeep.hpp"
#include "store/os/regular_file.hpp"
#include "store/testing/crash_point.hpp"

namespace xlstore::libxl {

namespace {

Error failed(const std::string& what, const std::string& path, int number)
{
    return Error(Errc::io, "cannot " + what + " " + path + ": " + errno_text(number),
                 "libxl's file is as it was; see to the cause, and run it again");
}

Result<void> write_whole(const std::string& path, std::string_view whole)
{
    const Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) return failed("write", path, errno);
    for (std::size_t done = 0; done < whole.size();) {
        const ssize_t count = ::write(file.get(), whole.data() + done, whole.size() - done);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return failed("write", path, errno);
        done += static_cast<std::size_t>(count);
    }
    // libxl does not: a power cut may leave it an empty file.
    if (::fsync(file.get()) != 0) return failed("sync", path, errno);
    return {};
}

Result<void> rename_document(const std::string& from, const std::string& to)
{
    XLSTORE_CRASH_POINT("libxl.before_rename");
    if (std::rename(from.c_str(), to.c_str()) != 0)
        return failed("rename " + from + " to", to, errno);
    XLSTORE_CRASH_POINT("libxl.after_rename");
    return {};
}

}  // namespace

Result<std::optional<std::string>> read_document_bytes(const std::string& path)
{
    struct stat seen {};
    if (lstat(path.c_str(), &seen) != 0) {
        if (errno == ENOENT) return std::optional<std::string>();
        return Error(Errc::io, "cannot read " + path + ": " + errno_text(errno));
    }
    if (S_ISLNK(seen.st_mode))
        return Error(Errc::invalid, path + " is a symbolic link, and was not followed",
                     "libxl makes none; put the file itself in its place");
    auto bytes = read_regular_file(path, limits::document_bytes_max + 1);
    if (!bytes) return std::move(bytes).error();
    return std::optional(*std::move(bytes));
}

Result<std::optional<DocumentFile>> read_document_file(const std::string& path)
{
    auto bytes = read_document_bytes(path);
    if (!bytes) return std::move(bytes).error();
    if (!*bytes) return std::optional<DocumentFile>();
    DocumentFile file;
    file.text = **std::move(bytes);
    file.ends_with_nul = file.text.ends_with('\0');
    if (file.ends_with_nul) file.text.pop_back();
    return std::optional(std::move(file));
}

Result<void> write_document_file(const HostDirectories& where, const FileOwner& domain,
                                 std::string_view text)
{
    const std::string beside = where.document_beside(domain);
    XLSTORE_CRASH_POINT("libxl.before_write");
    if (auto written = write_whole(beside, std::string(text) + '\0'); !written) return written;
    return rename_document(beside, where.document(domain));
}

Result<void> write_beside_document(const std::string& path, std::string_view bytes)
{
    XLSTORE_CRASH_POINT("libxl.before_write");
    if (auto written = write_whole(path, bytes); !written) return written;
    sync_directory(path.substr(0, path.rfind('/')));
    return {};
}

Result<void> move_document(const std::string& from, const std::string& to)
{
    if (auto moved = rename_document(from, to); !moved) return moved;
    sync_directory(to.substr(0, to.rfind('/')));
    return {};
}

Result<std::vector<UserdataName>> list_userdata(const std::string& directory)
{
    namespace fs = std::filesystem;
    std::vector<UserdataName> found;
    std::error_code error;
    for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
        if (auto name = parse_userdata_name(at->path().filename().string()))
            found.push_back(*std::move(name));
    if (error) return Error(Errc::io, "cannot list " + directory + ": " + error.message());
    std::ranges::sort(found, {}, [](const UserdataName& name) {
        return std::tuple(name.domain.domid, name.domain.uuid, name.which, name.userid);
    });
    return found;
}

}  // namespace xlstore::libxl
