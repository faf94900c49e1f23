// SPDX-License-Identifier: MIT
#include "tools/common/whole_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "store/base/fd.hpp"
#include "tools/common/output.hpp"

namespace xlstore::tools {

namespace {

Error io_error(const char* step, const std::string& path, int why)
{
    return {Errc::io, std::string(step) + " " + plain(path) + ": " + errno_text(why),
            "nothing is left of it; name another file, or make room"};
}

// Takes itself away unless it was put in its place.
class Part {
public:
    explicit Part(const std::string& path)
        : name_(path + ".XXXXXX"), fd_(mkostemp(name_.data(), O_CLOEXEC))
    {}
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;
    ~Part()
    {
        if (fd_) (void)unlink(name_.c_str());
    }
    [[nodiscard]] bool is_open() const { return static_cast<bool>(fd_); }
    // 0, or an errno.
    [[nodiscard]] int write_all(std::string_view bytes) const
    {
        while (!bytes.empty()) {
            const auto written = write(fd_.get(), bytes.data(), bytes.size());
            if (written < 0 && errno == EINTR) continue;
            if (written <= 0) return written < 0 ? errno : ENOSPC;
            bytes.remove_prefix(static_cast<std::size_t>(written));
        }
        return 0;
    }
    [[nodiscard]] int put_at(const std::string& path, IfThere if_there) const
    {
        if (if_there == IfThere::refuse) {
            if (renameat2(AT_FDCWD, name_.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0)
                return 0;
            if (errno != EINVAL) return errno;  // else this file system cannot tell
        }
        return std::rename(name_.c_str(), path.c_str()) == 0 ? 0 : errno;
    }

private:
    std::string name_;
    Fd fd_;
};

}  // namespace

Result<void> write_whole_file(const std::string& path, std::string_view bytes, IfThere if_there)
{
    struct stat there {};
    if (lstat(path.c_str(), &there) == 0) {
        if (if_there == IfThere::refuse)
            return Error(Errc::exists, plain(path) + " is there already",
                         "nothing was written; name a file that is not there");
        if (!S_ISREG(there.st_mode))
            return Error(Errc::invalid, plain(path) + " is there, and no regular file",
                         "nothing was written; name another file");
    }
    const Part part(path);
    if (!part.is_open()) return io_error("make", path, errno);
    if (const int why = part.write_all(bytes)) return io_error("write", path, why);
    if (const int why = part.put_at(path, if_there)) return io_error("write", path, why);
    return {};
}

}  // namespace xlstore::tools
