// SPDX-License-Identifier: MIT
// A copy of a database and its log in a directory of our own, for reading one that must be left as
// it is, to the byte, and that SQLite could not read without making a file beside it.
#ifndef XLSTORE_STORE_DATABASE_PRIVATE_COPY_HPP_
#define XLSTORE_STORE_DATABASE_PRIVATE_COPY_HPP_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "store/base/error.hpp"
#include "store/base/fd.hpp"
#include "store/model/store_paths.hpp"

namespace xlstore {

/// What changes with each write to a file.
struct FileStamp {
    ino_t inode = 0;
    off_t size = 0;
    std::int64_t changed_s = 0;
    std::int64_t changed_ns = 0;
    bool operator==(const FileStamp&) const = default;
};

class PrivateCopy {
public:
    /// Of `database` and its log, if it has one. The files are read through SQLite's own functions:
    /// another descriptor's close would drop the locks of a connection in this process. Made below
    /// $TMPDIR, /tmp or /dev/shm, the first that can be written; copies there that killed processes
    /// of this user left are removed (R20). Errors: io (nowhere to write, it
    /// cannot be read, or it is changed all the time).
    static Result<std::unique_ptr<PrivateCopy>> make(const std::string& database);
    /// The bytes of the log of `database`, read as above; "": it has none, or is changed all the
    /// time. @throws IoError: it could not be read
    static std::string log_of(const std::string& database);
    /// Copies that log to `to`, which must not exist and is the caller's to keep; it survives a
    /// power cut once its directory is synced. REQUIRES that no process writes. @throws IoError:
    /// nothing is left of it
    static void copy_log(const std::string& database, const std::string& to);
    PrivateCopy(const PrivateCopy&) = delete;
    PrivateCopy& operator=(const PrivateCopy&) = delete;
    ~PrivateCopy();  ///< removes it

    [[nodiscard]] std::string database() const { return StorePaths(directory_).database(); }
    /// The database or its log was written to, came or went since the copy was made, or cannot be
    /// looked at any more.
    [[nodiscard]] bool is_behind() const;

private:
    PrivateCopy(std::string directory, Fd lock)
        : directory_(std::move(directory)), lock_(std::move(lock))
    {}
    static std::unique_ptr<PrivateCopy> make_empty(const std::string& place);
    Result<void> fill(const std::string& database);
    std::string directory_;
    std::string original_;
    std::pair<std::optional<FileStamp>, std::optional<FileStamp>> copied_;  ///< database and log
    Fd lock_;  ///< on the directory: says that this process lives
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_PRIVATE_COPY_HPP_
