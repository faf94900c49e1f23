// SPDX-License-Identifier: MIT
// libxl's own locks on a domain, by libxl's own protocol, so that xl, libvirt and this library keep
// out of each other's way. Each is flock(2) on a file that the holder makes and takes away:
//
//   take      open or create; flock; is the path still this very file? If not, begin again
//   give back unlink while it is held; unlock; close
//
// A process that dies leaves the file, unlocked: it means nothing, and the next one uses it.
//
// Order, as libxl has it: device_changes, qmp_socket, then (with the context lock of an embedder
// between) document. With the locks of the store: the slow lock before device_changes; the fast
// lock before document (R7). libxl waits without end where this library gives up at a deadline, so
// hold one no longer than libxl itself would: document for one read and write of the file,
// qmp_socket for one conversation, device_changes for one operation.
#ifndef XLSTORE_STORE_LIBXL_HOST_LOCK_HPP_
#define XLSTORE_STORE_LIBXL_HOST_LOCK_HPP_

#include <optional>
#include <string>

#include "store/base/error.hpp"
#include "store/base/fd.hpp"
#include "store/event/loop.hpp"
#include "store/libxl/host_directories.hpp"

namespace xlstore::libxl {

enum class HostLockKind {
    device_changes,  ///< "libxl-device-changes-lock": a change of a CD, a retrieval
    qmp_socket,      ///< "qmp-socket-lock": one client connected to the monitor
    document,        ///< "domain-userdata-lock": one read or change of userdata
};

/// Where libxl has it.
[[nodiscard]] std::string lock_path(const HostDirectories& where, const FileOwner& domain,
                                    HostLockKind kind);

/// One lock that is held, until it is destroyed. Not inherited: a forked child holds nothing and
/// removes nothing. Belongs to one thread at a time.
class HostLock {
public:
    /// Nothing: another process holds it. Errors: io (the directory is not there or not to be
    /// written, the path is no regular file). Waits for nothing. Nothing of it is left behind but
    /// where it fails between creating and locking, as libxl itself does.
    static Result<std::optional<HostLock>> try_take(const std::string& path);
    /// Tries until `until`, without keeping the loop. Errors: timeout (with kOneTry: busy), naming
    /// the processes that hold it, as far as /proc shows them; io as above.
    static Task<Result<HostLock>> take(Loop& loop, std::string path, Deadline until);

    HostLock(HostLock&&) noexcept = default;
    HostLock& operator=(HostLock&& other) noexcept;
    HostLock(const HostLock&) = delete;
    HostLock& operator=(const HostLock&) = delete;
    ~HostLock() { give_back(); }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// For one who only looks: a file that a dead process left stays where it is.
    void leave_as_found() noexcept { keep_ = found_; }
    /// False: another process has removed the file (a destruction does). It is no lock any more.
    [[nodiscard]] bool is_held() const;

private:
    HostLock(std::string path, ForkClosedFd fd, bool found)
        : path_(std::move(path)), fd_(std::move(fd)), found_(found)
    {}
    void give_back() noexcept;

    std::string path_;
    ForkClosedFd fd_;
    bool found_;  // a process that is dead had made the file
    bool keep_ = false;
};

/// Did a process of libxl's that held this lock die? Its file is there, and no process holds it.
/// False for a file that this library made: what died then was no command of libxl's. Changes
/// nothing. False too where that cannot be seen.
[[nodiscard]] bool was_left_by_the_dead(const std::string& path);

/// The processes that hold the lock at `path` or wait in line for it, for messages; "a process that
/// is not shown to this user" where /proc shows none, "" when there is no such file. In pieces, so
/// that the loop is not kept.
Task<std::string> holders_of(Loop& loop, std::string path);

}  // namespace xlstore::libxl

#endif  // XLSTORE_STORE_LIBXL_HOST_LOCK_HPP_
