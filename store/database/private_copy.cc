// SPDX-License-Identifier: MIT
// The copy is made in a locked directory below TMPDIR, /tmp or /dev/shm, so that the next one can
// tell the copies of killed processes and remove them (R20). Database and log are read through
// SQLite's own file layer: to close them after another way of opening would drop this process's
// locks. Size and time of both are the same before and after, or it is copied again, up to a number
// of attempts: a copy is never a mixture of two states.
#include "store/database/private_copy.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "store/lock/lock_file.hpp"
#include "store/os/file_upkeep.hpp"

namespace xlstore {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kName = "xlstore-copy-";
constexpr int kAttempts = 5;
constexpr std::size_t kCopyBlock = std::size_t{1} << 20;
constexpr sqlite3_int64 kMostOfLog = sqlite3_int64{1} << 30;  // in memory at a time

// Nothing: there is no such file. @throws IoError: that cannot be seen, and a copy without its log
// would be another database
std::optional<FileStamp> stamp_of(const std::string& path)
{
    struct stat st {};
    if (stat(path.c_str(), &st) != 0) {
        if (errno == ENOENT) return std::nullopt;
        throw IoError(errno, "cannot look at " + path);
    }
    return FileStamp{st.st_ino, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
}

Error trouble(const std::string& what, const std::string& advice)
{
    return Error(Errc::io, "store: cannot copy " + what, advice);
}

// The directory that the user can know: the copy's own goes with it.
std::string place_of(const PrivateCopy& copy)
{
    return fs::path(copy.database()).parent_path().parent_path().string();
}

void remove_copy(const std::string& directory)
{
    for (const char* name : {"/store.db", "/store.db-wal", "/store.db-shm", "/store.db-journal"})
        remove_file(directory, name);
    rmdir(directory.c_str());
}

// While its process lives a copy's directory is locked. Nothing: it is, or it is not ours.
std::optional<Fd> locked(const std::string& directory)
{
    Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat st {};
    if (!fd || fstat(fd.get(), &st) != 0 || st.st_uid != geteuid()) return std::nullopt;
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return std::nullopt;
    return fd;
}

// R20: copies that killed processes left. Documents are in them.
void remove_left_over(const std::string& place)
{
    std::error_code error;
    for (fs::directory_iterator i(place, error), end; !error && i != end; i.increment(error)) {
        if (!i->path().filename().string().starts_with(kName)) continue;
        const auto directory = i->path().string();
        if (const auto lock = locked(directory)) remove_copy(directory);
    }
}

// A file as SQLite opens it; its name has to be followed by two NULs, as those of SQLite's own are.
class SqliteFile {
public:
    SqliteFile(const std::string& path, int kind) : name_(path + std::string(4, '\0'))
    {
        auto* vfs = sqlite3_vfs_find(nullptr);
        memory_.resize(static_cast<std::size_t>(vfs->szOsFile));
        file_ = reinterpret_cast<sqlite3_file*>(memory_.data());
        open_ = vfs->xOpen(vfs, name_.c_str(), file_, kind | SQLITE_OPEN_READONLY, nullptr) ==
                SQLITE_OK;
    }
    SqliteFile(const SqliteFile&) = delete;
    SqliteFile& operator=(const SqliteFile&) = delete;
    ~SqliteFile()
    {
        if (file_->pMethods) file_->pMethods->xClose(file_);
    }

    [[nodiscard]] bool copy_to(const std::string& path)
    {
        sqlite3_int64 size = 0;
        const Fd to(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        if (!open_ || !to || file_->pMethods->xFileSize(file_, &size) != SQLITE_OK) return false;
        std::vector<char> block(kCopyBlock);
        for (sqlite3_int64 at = 0; at < size;) {
            const auto length = static_cast<std::size_t>(
                std::min(size - at, static_cast<sqlite3_int64>(block.size())));
            if (file_->pMethods->xRead(file_, block.data(), static_cast<int>(length), at) !=
                SQLITE_OK)
                return false;
            for (std::size_t done = 0; done < length;) {
                const auto n = ::write(to.get(), block.data() + done, length - done);
                if (n < 0 && errno != EINTR) return false;
                if (n > 0) done += static_cast<std::size_t>(n);
            }
            at += static_cast<sqlite3_int64>(length);
        }
        return true;
    }

    [[nodiscard]] std::optional<std::string> bytes()
    {
        sqlite3_int64 size = 0;
        if (!open_ || file_->pMethods->xFileSize(file_, &size) != SQLITE_OK) return std::nullopt;
        std::string text(static_cast<std::size_t>(size), '\0');
        const auto length = static_cast<int>(std::min<sqlite3_int64>(size, kMostOfLog));
        if (file_->pMethods->xRead(file_, text.data(), length, 0) != SQLITE_OK)
            return std::nullopt;
        text.resize(static_cast<std::size_t>(length));
        return text;
    }

private:
    std::string name_;
    std::vector<char> memory_;
    sqlite3_file* file_ = nullptr;
    bool open_ = false;
};

}  // namespace

Result<std::unique_ptr<PrivateCopy>> PrivateCopy::make(const std::string& database)
{
    const char* named = std::getenv("TMPDIR");
    std::unique_ptr<PrivateCopy> copy;
    for (const char* place : {named, "/tmp", "/dev/shm"})
        if (place && *place && !copy) copy = make_empty(place);
    if (!copy)
        return Error(
            Errc::io,
            std::string("store: cannot make a directory for a private copy: ") + errno_text(errno),
            "set TMPDIR to a directory that can be written");
    try {
        if (auto filled = copy->fill(database); !filled) return std::move(filled).error();
    } catch (const IoError& e) {
        return Error(Errc::io, std::string("store: ") + e.what(), "nothing was changed; try again");
    }
    return copy;
}

std::unique_ptr<PrivateCopy> PrivateCopy::make_empty(const std::string& place)
{
    remove_left_over(place);
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        std::string directory = place + "/" + std::string(kName) + "XXXXXX";
        if (!mkdtemp(directory.data())) break;
        auto lock = locked(directory);
        // Until it was locked another process could take it for one that was left.
        if (lock && file_identity(directory))
            return std::unique_ptr<PrivateCopy>(new PrivateCopy(directory, *std::move(lock)));
        if (lock) continue;
        rmdir(directory.c_str());
    }
    return nullptr;
}

Result<void> PrivateCopy::fill(const std::string& database)
{
    const std::string log = database + "-wal";
    const std::string to = this->database();
    if (access(database.c_str(), R_OK) != 0)
        return Error(Errc::io, "store: cannot read " + database + ": " + errno_text(errno),
                     "run it as root, or as a user who may do this");
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        const auto before = std::pair(stamp_of(database), stamp_of(log));
        for (const char* suffix : {"", "-wal"})
            unlink((to + suffix).c_str());
        SqliteFile from(database, SQLITE_OPEN_MAIN_DB);
        if (!from.copy_to(to))
            return trouble(database + " to " + place_of(*this) + ": " + errno_text(errno),
                           "see whether there is room; TMPDIR names another place for the copy");
        if (before.second) {
            SqliteFile from_log(log, SQLITE_OPEN_WAL);
            if (!from_log.copy_to(to + "-wal"))
                return trouble(
                    log + " to " + place_of(*this) + ": " + errno_text(errno),
                    "see whether there is room; TMPDIR names another place for the copy");
        }
        if (std::pair(stamp_of(database), stamp_of(log)) != before) continue;
        original_ = database;
        copied_ = before;
        return {};
    }
    return trouble(database + ": it is changed all the time", "nothing was changed; try again");
}

bool PrivateCopy::is_behind() const
{
    try {
        return std::pair(stamp_of(original_), stamp_of(original_ + "-wal")) != copied_;
    } catch (const IoError&) {
        return true;  // it cannot be seen
    }
}

std::string PrivateCopy::log_of(const std::string& database)
{
    const std::string log = database + "-wal";
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        const auto before = stamp_of(log);
        if (!before || before->size == 0) return {};
        SqliteFile from(log, SQLITE_OPEN_WAL);
        auto bytes = from.bytes();
        if (stamp_of(log) != before) continue;
        if (!bytes) throw IoError(EIO, "cannot read " + log);
        return *std::move(bytes);
    }
    return {};
}

void PrivateCopy::copy_log(const std::string& database, const std::string& to)
{
    SqliteFile from(database + "-wal", SQLITE_OPEN_WAL);
    const bool copied = from.copy_to(to);
    const Fd file(copied ? ::open(to.c_str(), O_RDONLY | O_CLOEXEC) : -1);
    if (file && fsync(file.get()) == 0) return;
    const int error = errno;
    if (error != EEXIST) unlink(to.c_str());
    throw IoError(error, "cannot copy " + database + "-wal to " + to);
}

PrivateCopy::~PrivateCopy()
{
    remove_copy(directory_);
}

}  // namespace xlstore
