// SPDX-License-Identifier: MIT
// What is refused here is refused before a descriptor exists: a symbolic link, a file of another
// owner, a mode that lets others write, a network file system on which byte locks do not hold. A
// missing lock file is made anew only when no process has the database open, which SQLite's own
// locks on the index of its log tell: its users would otherwise not be excluded (R17).
#include "store/core/store_files.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "store/database/first_look.hpp"
#include "store/lock/lock_holders.hpp"
#include "store/lock/locks.hpp"
#include "store/model/store_paths.hpp"

namespace xlstore {

Error unusable(const std::string& what, const std::string& advice)
{
    return Error(Errc::store, what, advice);
}

namespace {

// File systems where a byte-range lock or a shared mapping does not hold between hosts, or at all.
constexpr std::array<long, 9> kNetworkFileSystems = {NFS_SUPER_MAGIC,
                                                     SMB_SUPER_MAGIC,
                                                     static_cast<long>(CIFS_SUPER_MAGIC),
                                                     static_cast<long>(SMB2_SUPER_MAGIC),
                                                     V9FS_MAGIC,
                                                     CEPH_SUPER_MAGIC,
                                                     AFS_SUPER_MAGIC,
                                                     AFS_FS_MAGIC,
                                                     CODA_SUPER_MAGIC};

std::string octal(unsigned mode)
{
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "%04o", mode & 07777);
    return text.data();
}

Error not_found(const std::string& path, int error)
{
    if (error == EACCES)
        return unusable("store: " + path + ": " + errno_text(error),
                        "run as the owner of the store, or as a member of its reading group");
    if (error == ENOENT)
        return unusable("store: there is no " + path,
                        "name the store with --store or XLSTORE_DIR, or make one with 'xlstore "
                        "init'");
    return unusable("store: " + path + ": " + errno_text(error),
                    "name the store with --store or XLSTORE_DIR");
}

// Whose it is, and who else may write or read there. `writing`: the owner must be us; a reader of
// the group may look at another's store. REQUIRES that `path` is the directory of a store, or a
// file in it: the advice is to change its mode.
Result<void> check_access(const std::string& path, const struct stat& st, bool writing)
{
    if (writing && st.st_uid != geteuid())
        return unusable("store: " + path + " belongs to uid " + std::to_string(st.st_uid) +
                            ", not to uid " + std::to_string(geteuid()),
                        "run as that user");
    const bool directory = S_ISDIR(st.st_mode);
    const unsigned forbidden = directory ? 0027U : 0137U;
    if ((st.st_mode & forbidden) != 0)
        return unusable("store: " + path + " has mode " + octal(st.st_mode) +
                            ": others could read or change it",
                        directory ? "'chmod 0700' it (0750 with a reading group)"
                                  : "'chmod 0600' it (0640 with a reading group)");
    return {};
}

// Asked before SQLite does, which has several words for it, and one of them for much else.
Result<void> check_writable(const std::string& path)
{
    if (faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0) return {};
    if (errno != EROFS && errno != EACCES) return {};  // what opens it says what it is
    return read_only("store: " + path + " cannot be written to: " + errno_text(errno));
}

}  // namespace

namespace {

// What to do about a file in the store that is none.
std::string instead_of(const std::string& path)
{
    return path.ends_with("/store.db")
               ? "put the database itself there while no process has the store open; nothing of a "
                 "store is read through a link"
               : "move it away: the file holds no data of domains, and the next program that "
                 "writes makes it anew";
}

}  // namespace

Result<struct stat> look_at(const std::string& path, bool directory)
{
    struct stat st {};
    if (lstat(path.c_str(), &st) != 0) return not_found(path, errno);
    if (S_ISLNK(st.st_mode))
        return unusable("store: " + path + " is a symbolic link",
                        directory ? "name the real directory" : instead_of(path));
    if (directory ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
        return unusable(
            "store: " + path + " is not a " + (directory ? "directory" : "regular file"),
            directory ? "name another directory with --store or XLSTORE_DIR" : instead_of(path));
    return st;
}

Result<void> check_no_link(const std::string& directory)
{
    struct stat st {};
    if (lstat(directory.c_str(), &st) != 0 || !S_ISLNK(st.st_mode)) return {};
    return look_at(directory, true).error();
}

Result<void> check_entry(const std::string& path, bool directory, bool writing)
{
    auto st = look_at(path, directory);
    if (!st) return st.error();
    if (auto ok = check_access(path, *st, writing); !ok) return ok;
    return writing ? check_writable(path) : Result<void>();
}

Result<void> check_file_system(const std::string& directory)
{
    struct statfs fs {};
    if (statfs(directory.c_str(), &fs) != 0)
        return unusable("store: " + directory + ": " + errno_text(errno),
                        "name the store with --store or XLSTORE_DIR");
    if (std::find(kNetworkFileSystems.begin(), kNetworkFileSystems.end(),
                  static_cast<long>(fs.f_type)) != kNetworkFileSystems.end())
        return unusable(
            "store: " + directory + " is on a network file system, where its locks do not hold",
            "keep the store on a local file system");
    return {};
}

namespace {

// A directory with this name, in which there is a database of ours or what is left of one.
Result<void> check_directory(const std::string& path, bool writing)
{
    auto st = look_at(path, true);
    if (!st) return st.error();
    const StorePaths paths(path);
    const std::string database = paths.database();
    if (!file_identity(paths.being_saved()))
        if (auto ok = check_before_opening(path); !ok) return ok;
    struct stat there {};
    if (lstat(database.c_str(), &there) != 0 && !file_identity(paths.being_saved())) {
        if (errno != ENOENT) return not_found(database, errno);
        return unusable("store: " + path + " holds no store: there is no store.db",
                        "name the store with --store or XLSTORE_DIR; 'xlstore init' makes a new "
                        "one in an empty directory, 'xlstore restore FILE' puts a backup back, "
                        "'xlfsck --rebuild' makes one for the QEMUs of a lost one");
    }
    if (auto ok = check_access(path, *st, writing); !ok) return ok;
    return writing ? check_writable(path) : Result<void>();
}

// The byte of the log's index (-shm) on which each process that has the database open has a lock,
// by SQLite's file format.
constexpr std::int64_t kOpenByte = 128;

std::string processes_at(const std::string& directory)
{
    const std::string index = StorePaths(directory).log_index();
    const auto file = file_identity(index);
    std::string who;
    if (file)
        for (const auto& holder : lock_holders(index, *file, kOpenByte, kOpenByte))
            who += (who.empty() ? "" : ", ") + describe(holder);
    return who;
}

// The lock files hold no data of domains, and what one remembers (R17) is in the other, too. A
// process that holds locks in one that was removed finds that out before its next commit (R17);
// until it has closed the store it would not exclude the users of a new one, so that it is waited
// for.
Result<void> check_locks(const std::string& directory, bool writing,
                         const std::shared_ptr<const Log>& log)
{
    const StorePaths paths(directory);
    for (const auto& path : {paths.locks(), paths.slow_locks()}) {
        struct stat st {};
        if (lstat(path.c_str(), &st) == 0 || errno != ENOENT) continue;
        if (!writing)
            return unusable("store: " + path + " is missing",
                            "it holds no data: the next program that writes makes it anew, "
                            "'xlstore recover' for instance");
        if (stat(paths.database().c_str(), &st) != 0) return not_found(paths.database(), errno);
        if (const auto who = processes_at(directory); !who.empty())
            return Error(Errc::busy,
                         "store: " + path + " is missing, and the store is open: " + who,
                         "end these programs, then try again: the file holds no data and is made "
                         "anew; the QEMUs run on");
        Locks::create(directory);
        if (log) log->write(LogLevel::warning, "made anew: " + path);
    }
    return {};
}

}  // namespace

Result<void> check_files(const std::string& directory, bool writing,
                         const std::shared_ptr<const Log>& log)
{
    if (auto ok = check_directory(directory, writing); !ok) return ok;
    if (auto ok = check_file_system(directory); !ok) return ok;
    const StorePaths paths(directory);
    if (!file_identity(paths.database()) && file_identity(paths.being_saved()))
        return unusable("store: " + directory +
                            " has no store.db: saving what is in store.db.saving was broken off",
                        "run 'xlfsck -y'");
    if (auto ok = check_locks(directory, writing, log); !ok) return ok;
    for (const auto& path : {paths.database(), paths.locks(), paths.slow_locks()})
        if (auto ok = check_entry(path, false, writing); !ok) return ok;
    // Made by the next commit where it is missing.
    if (file_identity(paths.spare()))
        if (auto ok = check_entry(paths.spare(), false, writing); !ok) return ok;
    // Sockets and logs that were in it are gone with it; QEMUs that live run on without.
    if (writing && mkdir(paths.run().c_str(), 0700) == 0 && log)
        log->write(LogLevel::warning, "made anew: " + paths.run());
    if (writing && Locks::close_to_group(directory) && log)
        log->write(LogLevel::warning, "the lock files of " + directory +
                                          " are no longer open to the reading group, which needs "
                                          "none");
    return {};
}

}  // namespace xlstore
