// SPDX-License-Identifier: MIT
#include "tests/support/sqlite_calls.hpp"

#include <sqlite3.h>
#include <unistd.h>

#include <array>
#include <new>

#include "store/database/vfs_layer.hpp"

namespace xlstore::test {

namespace {

struct Row {
    std::string_view name;
    int failure;
};
// In the order of SqliteCall.
constexpr std::array<Row, kSqliteCalls> kRows = {{{"open", SQLITE_CANTOPEN},
                                                  {"remove", SQLITE_IOERR_DELETE},
                                                  {"access", SQLITE_IOERR_ACCESS},
                                                  {"read", SQLITE_IOERR_READ},
                                                  {"write", SQLITE_IOERR_WRITE},
                                                  {"truncate", SQLITE_IOERR_TRUNCATE},
                                                  {"sync", SQLITE_IOERR_FSYNC},
                                                  {"size", SQLITE_IOERR_FSTAT},
                                                  {"lock", SQLITE_IOERR_LOCK},
                                                  {"map", SQLITE_IOERR_SHMMAP},
                                                  {"index lock", SQLITE_IOERR_SHMLOCK}}};

// SQLite's file format: the byte of the log's index that a writer locks.
constexpr int kWriterLock = 0;

SqliteObserver* observer = nullptr;
sqlite3_vfs* usual_vfs = nullptr;

// What SQLite allocates for a file: this, and behind it the plain file.
struct File {
    sqlite3_file base;
    std::string* path;
    sqlite3_file* plain;
};
File& file_of(sqlite3_file* file)
{
    return VfsLayer<File>::file_of(file);
}

bool fails(SqliteCall call, const std::string& path)
{
    return observer && !observer->may(call, path);
}

template <class Act>
int unless_it_fails(SqliteCall call, sqlite3_file* file, Act act)
{
    File& f = file_of(file);
    return fails(call, *f.path) ? failure_of(call) : act(*f.plain->pMethods, f.plain);
}

int close_file(sqlite3_file* file)
{
    File& f = file_of(file);
    const int rc = f.plain->pMethods ? f.plain->pMethods->xClose(f.plain) : SQLITE_OK;
    delete f.path;
    return rc;
}

int read_file(sqlite3_file* file, void* to, int size, sqlite3_int64 at)
{
    return unless_it_fails(SqliteCall::read, file, [&](const auto& real, sqlite3_file* f) {
        return real.xRead(f, to, size, at);
    });
}

int write_file(sqlite3_file* file, const void* what, int size, sqlite3_int64 at)
{
    const int rc = unless_it_fails(SqliteCall::write, file, [&](const auto& real, sqlite3_file* f) {
        return real.xWrite(f, what, size, at);
    });
    if (rc == SQLITE_OK && observer)
        observer->written(*file_of(file).path, at,
                          {static_cast<const std::byte*>(what), static_cast<std::size_t>(size)});
    return rc;
}

int truncate_file(sqlite3_file* file, sqlite3_int64 size)
{
    const int rc =
        unless_it_fails(SqliteCall::truncate, file,
                        [&](const auto& real, sqlite3_file* f) { return real.xTruncate(f, size); });
    if (rc == SQLITE_OK && observer) observer->truncated(*file_of(file).path, size);
    return rc;
}

int sync_file(sqlite3_file* file, int flags)
{
    const int rc = unless_it_fails(SqliteCall::sync, file, [&](const auto& real, sqlite3_file* f) {
        return real.xSync(f, flags);
    });
    if (rc == SQLITE_OK && observer) observer->synced(*file_of(file).path);
    return rc;
}

int file_size(sqlite3_file* file, sqlite3_int64* size)
{
    return unless_it_fails(SqliteCall::size, file, [&](const auto& real, sqlite3_file* f) {
        return real.xFileSize(f, size);
    });
}

int lock_file(sqlite3_file* file, int level)
{
    return unless_it_fails(SqliteCall::lock, file,
                           [&](const auto& real, sqlite3_file* f) { return real.xLock(f, level); });
}

int map_index(sqlite3_file* file, int region, int size, int extend, void volatile** out)
{
    return unless_it_fails(SqliteCall::map, file, [&](const auto& real, sqlite3_file* f) {
        return real.xShmMap(f, region, size, extend, out);
    });
}

int lock_index(sqlite3_file* file, int offset, int n, int flags)
{
    if ((flags & SQLITE_SHM_LOCK) != 0)
        return unless_it_fails(
            SqliteCall::index_lock, file,
            [&](const auto& real, sqlite3_file* f) { return real.xShmLock(f, offset, n, flags); });
    File& f = file_of(file);
    const int rc = f.plain->pMethods->xShmLock(f.plain, offset, n, flags);
    if (offset == kWriterLock && observer) observer->writer_left(*f.path);
    return rc;
}

// Giving back a lock does not fail in the plain VFS either. Version 2: without xFetch SQLite maps
// no file, which the library forbids it anyway.
constexpr sqlite3_io_methods kMethods = [] {
    sqlite3_io_methods made = VfsLayer<File>::methods();
    made.iVersion = 2;
    made.xClose = close_file;
    made.xRead = read_file;
    made.xWrite = write_file;
    made.xTruncate = truncate_file;
    made.xSync = sync_file;
    made.xFileSize = file_size;
    made.xLock = lock_file;
    made.xShmMap = map_index;
    made.xShmLock = lock_index;
    made.xFetch = nullptr;
    made.xUnfetch = nullptr;
    return made;
}();

// The plain VFS says of an empty file that it is not there.
bool is_there(const char* name)
{
    return access(name, F_OK) == 0;
}

int open_file(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags)
{
    auto* f = new (file) File{{nullptr}, nullptr, nullptr};
    const std::string path = name ? name : "";
    if (fails(SqliteCall::open, path)) return failure_of(SqliteCall::open);
    const bool there = !name || is_there(name);
    f->plain = reinterpret_cast<sqlite3_file*>(f + 1);
    const int rc = usual_vfs->xOpen(usual_vfs, name, f->plain, flags, out_flags);
    if (rc != SQLITE_OK) return rc;  // without methods: SQLite does not close it
    f->path = new std::string(path);
    f->base.pMethods = &kMethods;
    if (observer && !there) observer->made(path);
    return SQLITE_OK;
}

int remove_file(sqlite3_vfs*, const char* name, int sync_directory)
{
    if (fails(SqliteCall::remove, name)) return failure_of(SqliteCall::remove);
    // Told first, since the plain VFS syncs the directory in the same call.
    if (observer && is_there(name)) observer->removed(name);
    return usual_vfs->xDelete(usual_vfs, name, sync_directory);
}

int access_file(sqlite3_vfs*, const char* name, int flags, int* out)
{
    if (fails(SqliteCall::access, name)) return failure_of(SqliteCall::access);
    return usual_vfs->xAccess(usual_vfs, name, flags, out);
}

sqlite3_vfs& watched()
{
    static sqlite3_vfs vfs = [] {
        usual_vfs = sqlite3_vfs_find(nullptr);
        sqlite3_vfs made = *usual_vfs;  // what is not about files is the plain one's
        made.zName = "watched";
        made.szOsFile = static_cast<int>(sizeof(File)) + usual_vfs->szOsFile;
        made.xOpen = open_file;
        made.xDelete = remove_file;
        made.xAccess = access_file;
        made.pNext = nullptr;
        return made;
    }();
    return vfs;
}

}  // namespace

std::string_view name_of(SqliteCall call) noexcept
{
    return kRows[static_cast<std::size_t>(call)].name;
}

int failure_of(SqliteCall call) noexcept
{
    return kRows[static_cast<std::size_t>(call)].failure;
}

Watching::Watching(SqliteObserver& who)
{
    sqlite3_vfs_register(&watched(), 1);
    observer = &who;
}

Watching::~Watching()
{
    observer = nullptr;
    sqlite3_vfs_register(usual_vfs, 1);
}

}  // namespace xlstore::test
