// SPDX-License-Identifier: MIT
// Each file of the database is wrapped: calls pass through to SQLite's plain layer, but for these.
//
//   1. A write of an ordinary transaction into the log is allowed only if the log has, or can get,
//      the reserve behind it, and the database has room for the checkpoint of that page
//      (leave_the_reserve). Otherwise SQLITE_FULL, as from a full disk; but a file whose size
//      cannot be asked, or that cannot be written, is an I/O error, and no proof that there is no
//      room.
//   2. Files grow by 256 KiB at a time, with zeros that are written, not only allocated.
//   3. When SQLite cuts a file, the reserve's part of it is left or written again.
//   4. If the index of the log cannot be made, blocks of the file `spare` are given up for it.
//   5. The frames of a commit are written by one call (gathered_frames.hpp).
//
// Where the next commit goes is read from that index in shared memory, in the byte order of the
// machine. A size that another process may have changed is `kUnknown`, and asked for anew.
#include "store/database/reserve.hpp"

#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <new>

#include "store/database/gathered_frames.hpp"
#include "store/database/vfs_layer.hpp"
#include "store/lock/spare.hpp"
#include "store/testing/mutation.hpp"

namespace xlstore {

namespace {

// From SQLite's file format: a frame's header begins with the number of its page; in the log's
// index are the frames in the log, the pages of the database, and how many of the frames are copied
// into it; the lock that a writer takes.
constexpr sqlite3_int64 kLogHeader = 32;
constexpr std::size_t kFramesAt = 16;
constexpr std::size_t kDatabasePagesAt = 20;
constexpr std::size_t kCopiedAt = 96;
constexpr int kWriterLock = 0;

// A file grows by this, so that few of its writes have to wait for it. SQLite's layer writes less
// than 128 KiB at a time.
constexpr sqlite3_int64 kStep = 256 << 10;
constexpr sqlite3_int64 kGrowthBlock = 64 << 10;
constexpr std::array<char, kGrowthBlock> kZeros{};

constexpr sqlite3_int64 kUnknown = -1;

// What SQLite allocates for a file; the plain layer's file is on the heap.
struct File {
    sqlite3_file base;
    sqlite3_file* plain;
    File* database;              // of a log; null: this is none
    File* log;                   // of a database, while it is open
    volatile const char* index;  // of a database: the first piece of its log's index
    sqlite3_int64 size;          // while this process writes; else unknown
    sqlite3_int64 page_size;     // of a database; 0 before the first fill()
    Room room;
    bool writes;       // it has SQLite's writer lock: the index is no other program's to change
    const char* name;  // of a database: its path, for as long as the file is open
    GatheredFrames frames;  // of a log
};
File& file_of(sqlite3_file* file)
{
    return VfsLayer<File>::file_of(file);
}

// ---- Room ----

// A quota, and a limit on the size of files, are no room either. SQLite's layer calls them I/O
// errors.
int write_plain(File& f, const void* what, int size, sqlite3_int64 at)
{
    const int rc = f.plain->pMethods->xWrite(f.plain, what, size, at);
    int why = 0;
    if (rc != SQLITE_IOERR_WRITE ||
        f.plain->pMethods->xFileControl(f.plain, SQLITE_FCNTL_LAST_ERRNO, &why) != SQLITE_OK)
        return rc;
    return is_lack_of_room(why) ? SQLITE_FULL : rc;
}

// After it f.size is known. Else the I/O error.
int query_size(File& f)
{
    if (f.size != kUnknown) return SQLITE_OK;
    sqlite3_int64 size = 0;
    const int rc = f.plain->pMethods->xFileSize(f.plain, &size);
    if (rc == SQLITE_OK) f.size = size;
    return rc;
}

// Zeros are written, not only allocated: the file system has nothing left to do for the block then.
// SQLITE_FULL: the disk has not got them.
int grow(File& f, sqlite3_int64 wanted)
{
    if (const int rc = query_size(f); rc != SQLITE_OK) return rc;
    if (f.size >= wanted) return SQLITE_OK;
    // A log that was cut to nothing, by this process or another: until that is synced, a power cut
    // may leave the old log with zeros in its middle, and its front would be taken for the whole of
    // one.
    if (f.database && f.size == 0 && !XLSTORE_MUTATION("cut synced before zeros"))
        if (const int rc = f.plain->pMethods->xSync(f.plain, SQLITE_SYNC_NORMAL); rc != SQLITE_OK)
            return rc;
    const sqlite3_int64 target = (wanted + kStep - 1) / kStep * kStep;
    while (f.size < target) {
        // To the next border, since a full disk may have cut a step short.
        const auto length = static_cast<int>(kGrowthBlock - f.size % kGrowthBlock);
        const int rc = write_plain(f, kZeros.data(), length, f.size);
        if (rc == SQLITE_OK) {
            f.size += length;
            continue;
        }
        f.size = kUnknown;
        if (const int asked = query_size(f); asked != SQLITE_OK) return asked;
        return f.size >= wanted ? SQLITE_OK : rc;
    }
    return SQLITE_OK;
}

// The index is in the byte order of the machine.
template <class T>
sqlite3_int64 number_at(const File& database, std::size_t at)
{
    std::array<char, sizeof(T)> bytes{};
    for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = database.index[at + i];
    T number = 0;
    std::memcpy(&number, bytes.data(), bytes.size());
    return number;
}

// Where the next commit goes. What is all copied into the database is overwritten, unless a reader
// that is at its end is in the way: then the commit itself finds out.
sqlite3_int64 end_of_log(const File& database)
{
    const auto frames = number_at<std::uint32_t>(database, kFramesAt);
    if (number_at<std::uint32_t>(database, kCopiedAt) == frames) return kLogHeader;
    return kLogHeader + frames * (kFrameHeader + database.page_size);
}

// Of a database whose reserve is whole.
sqlite3_int64 end_behind(std::int64_t pages, std::int64_t page_size)
{
    return pages * page_size + limits::reserve_in_database + limits::ordinary_room;
}

// As SQLite stores a number in a file.
sqlite3_int64 big_endian(const void* at)
{
    std::array<unsigned char, 4> bytes{};
    std::memcpy(bytes.data(), at, bytes.size());
    return (sqlite3_int64{bytes[0]} << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3];
}

// May this be written into the log, and is there room in the database for a checkpoint of it?
// SQLITE_FULL: no.
int leave_the_reserve(File& log, const void* what, int size, sqlite3_int64 at)
{
    File& database = *log.database;
    if (database.room == Room::reserve || XLSTORE_MUTATION("reserve")) return SQLITE_OK;
    const int parts = database.room == Room::half ? 2 : 1;
    const int rc = grow(log, at + size + limits::reserve_in_log / parts);
    if (rc != SQLITE_OK || size != kFrameHeader || !database.index) return rc;
    return grow(database,
                big_endian(what) * database.page_size + limits::reserve_in_database / parts);
}

// Another program has closed the database last, and taken with it what the files had ahead of need.
bool has_given(const File& database, sqlite3_int64 bytes)
{
    return database.name && give_up_spare(database.name, bytes);
}

// ---- The layer ----

int close_file(sqlite3_file* file)
{
    File& f = file_of(file);
    if (f.database) f.database->log = nullptr;
    sqlite3_free(f.frames.memory());
    const int rc = f.plain->pMethods->xClose(f.plain);
    sqlite3_free(f.plain);
    return rc;
}

int write_through(File& f, const void* what, int size, sqlite3_int64 at)
{
    const File& database = f.database ? *f.database : f;
    int rc = write_plain(f, what, size, at);
    while (rc == SQLITE_FULL && database.room == Room::reserve && has_given(database, size))
        rc = write_plain(f, what, size, at);
    if (rc != SQLITE_OK)
        f.size = kUnknown;
    else if (f.size != kUnknown)
        f.size = std::max(f.size, at + size);
    return rc;
}

// What cannot be written stays, so that it is not read from the file either.
int write_gathered(File& log)
{
    if (log.frames.empty()) return SQLITE_OK;
    const int rc = write_through(log, log.frames.bytes(), log.frames.size(), log.frames.at());
    if (rc == SQLITE_OK) log.frames.written();
    return rc;
}

int read_file(sqlite3_file* file, void* to, int size, sqlite3_int64 at)
{
    File& f = file_of(file);
    if (f.frames.overlaps(size, at))
        if (const int rc = write_gathered(f); rc != SQLITE_OK) return rc;
    return f.plain->pMethods->xRead(f.plain, to, size, at);
}

int write_file(sqlite3_file* file, const void* what, int size, sqlite3_int64 at)
{
    File& f = file_of(file);
    if (f.database)
        if (const int left = leave_the_reserve(f, what, size, at); left != SQLITE_OK) return left;
    if (!f.frames.follows(size, at))
        if (const int rc = write_gathered(f); rc != SQLITE_OK) return rc;
    if (!f.frames.follows(size, at)) return write_through(f, what, size, at);
    return f.frames.keep(what, size, at) ? write_gathered(f) : SQLITE_OK;
}

int sync_file(sqlite3_file* file, int flags)
{
    File& f = file_of(file);
    if (const int rc = write_gathered(f); rc != SQLITE_OK) return rc;
    return f.plain->pMethods->xSync(f.plain, flags);
}

// A checkpoint cuts the database to its pages, and the log, at times, to nothing.
int truncate_file(sqlite3_file* file, sqlite3_int64 size)
{
    File& f = file_of(file);
    f.size = kUnknown;
    if (f.log && query_size(f) == SQLITE_OK && f.size >= size)
        size = std::min(f.size, size + limits::reserve_in_database);
    const int rc = f.plain->pMethods->xTruncate(f.plain, size);
    f.size = kUnknown;
    // Not cut to this in the first place: what is left would be the front of the old log (see
    // grow()).
    if (rc == SQLITE_OK && f.database) (void)grow(f, size + limits::reserve_in_log);
    return rc;
}

int map_index(sqlite3_file* file, int region, int size, int extend, void volatile** out)
{
    File& f = file_of(file);
    int rc = f.plain->pMethods->xShmMap(f.plain, region, size, extend, out);
    // The first process that opens the database makes it, and without it not even a destruction can
    // begin.
    while (rc == SQLITE_IOERR_SHMSIZE && has_given(f, size))
        rc = f.plain->pMethods->xShmMap(f.plain, region, size, extend, out);
    if (rc == SQLITE_OK && region == 0) f.index = static_cast<volatile const char*>(*out);
    return rc;
}

int lock_index(sqlite3_file* file, int offset, int n, int flags)
{
    File& f = file_of(file);
    const int rc = f.plain->pMethods->xShmLock(f.plain, offset, n, flags);
    if (offset == kWriterLock) {
        if (rc == SQLITE_OK) f.writes = (flags & SQLITE_SHM_LOCK) != 0;
        // Other processes change the sizes while they write.
        f.size = kUnknown;
        if (f.log) {
            f.log->size = kUnknown;
            f.log->frames.begin();
        }
    }
    return rc;
}

int unmap_index(sqlite3_file* file, int remove)
{
    File& f = file_of(file);
    f.index = nullptr;
    return f.plain->pMethods->xShmUnmap(f.plain, remove);
}

constexpr sqlite3_io_methods kMethods = [] {
    sqlite3_io_methods made = VfsLayer<File>::methods();
    made.xClose = close_file;
    made.xRead = read_file;
    made.xWrite = write_file;
    made.xSync = sync_file;
    made.xTruncate = truncate_file;
    made.xShmMap = map_index;
    made.xShmLock = lock_index;
    made.xShmUnmap = unmap_index;
    return made;
}();

// The default one at each call: a program, a test for one, may have put its own in front.
sqlite3_vfs& plain_vfs()
{
    return *sqlite3_vfs_find(nullptr);
}

int open_file(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags)
{
    auto* f = new (file) File{{nullptr},
                              nullptr,
                              nullptr,
                              nullptr,
                              nullptr,
                              kUnknown,
                              0,
                              Room::ordinary,
                              false,
                              (flags & SQLITE_OPEN_MAIN_DB) != 0 ? name : nullptr,
                              GatheredFrames()};
    sqlite3_vfs& vfs = plain_vfs();
    const auto bytes = static_cast<sqlite3_uint64>(vfs.szOsFile);
    f->plain = static_cast<sqlite3_file*>(sqlite3_malloc64(bytes));
    if (!f->plain) return SQLITE_NOMEM;
    std::memset(f->plain, 0, bytes);
    const int rc = vfs.xOpen(&vfs, name, f->plain, flags, out_flags);
    if (rc != SQLITE_OK) {
        if (f->plain->pMethods) f->plain->pMethods->xClose(f->plain);
        sqlite3_free(f->plain);
        return rc;  // without methods: SQLite does not close it
    }
    f->base.pMethods = &kMethods;
    if ((flags & SQLITE_OPEN_WAL) != 0) {
        f->database = &file_of(sqlite3_database_file_object(name));
        f->database->log = f;
        // Without the promise SQLite pads a commit to a sector, and splits writes.
        if ((f->plain->pMethods->xDeviceCharacteristics(f->plain) &
             SQLITE_IOCAP_POWERSAFE_OVERWRITE) != 0)
            f->frames =
                GatheredFrames(static_cast<char*>(sqlite3_malloc(GatheredFrames::kCapacity)));
    }
    return SQLITE_OK;
}

int remove_file(sqlite3_vfs*, const char* name, int sync_directory)
{
    sqlite3_vfs& vfs = plain_vfs();
    return vfs.xDelete(&vfs, name, sync_directory);
}

int access_file(sqlite3_vfs*, const char* name, int flags, int* out)
{
    sqlite3_vfs& vfs = plain_vfs();
    return vfs.xAccess(&vfs, name, flags, out);
}

}  // namespace

const char* reserving_vfs()
{
    static sqlite3_vfs vfs = [] {
        sqlite3_vfs made = plain_vfs();  // what is not about files is the plain one's
        made.zName = "xlstore-reserve";
        made.szOsFile = static_cast<int>(sizeof(File));
        made.xOpen = open_file;
        made.xDelete = remove_file;
        made.xAccess = access_file;
        made.pNext = nullptr;
        return made;
    }();
    static const int registered = sqlite3_vfs_register(&vfs, 0);
    if (registered != SQLITE_OK) throw std::bad_alloc();
    return vfs.zName;
}

Reserve::Reserve(sqlite3* db) noexcept
{
    sqlite3_file* file = nullptr;
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) == SQLITE_OK && file &&
        file->pMethods == &kMethods)
        file_ = file;
}

void Reserve::allow(Room room) noexcept
{
    if (file_) static_cast<File*>(file_)->room = room;
}

int Reserve::fill(std::int64_t pages, std::int64_t page_size) noexcept
{
    auto* database = static_cast<File*>(file_);
    if (!database || !database->log || !database->index) return SQLITE_OK;
    // Under SQLite's own writer lock no other process changes them.
    if (!database->writes) database->size = database->log->size = kUnknown;
    database->page_size = page_size;
    const int in_log = grow(
        *database->log, end_of_log(*database) + limits::reserve_in_log + limits::ordinary_room);
    const int in_database = grow(*database, end_behind(pages, page_size));
    const int why = database->name ? fill_spare(database->name) : 0;
    const int in_spare = why == 0               ? SQLITE_OK
                         : is_lack_of_room(why) ? SQLITE_FULL
                                                : SQLITE_IOERR_WRITE;
    // What failed says more than what is short.
    for (const int rc : {in_log, in_database, in_spare})
        if (rc != SQLITE_OK && rc != SQLITE_FULL) return rc;
    return std::max({in_log, in_database, in_spare});
}

std::int64_t Reserve::most_pages() const noexcept
{
    const auto* database = static_cast<const File*>(file_);
    const bool told = database && database->index && database->writes;
    return told ? number_at<std::uint32_t>(*database, kDatabasePagesAt) : 0;
}

bool Reserve::has_behind(std::int64_t pages, std::int64_t page_size) noexcept
{
    auto* database = static_cast<File*>(file_);
    if (!database) return true;
    if (!database->writes) database->size = kUnknown;
    return query_size(*database) == SQLITE_OK && database->size >= end_behind(pages, page_size);
}

bool Reserve::lasts() noexcept
{
    auto* database = static_cast<File*>(file_);
    if (!database || !database->log || !database->index) return true;
    database->log->size = kUnknown;
    return query_size(*database->log) == SQLITE_OK &&
           database->log->size >= end_of_log(*database) + limits::reserve_in_log;
}

std::int64_t free_bytes(const std::string& directory) noexcept
{
    struct statvfs fs {};
    if (statvfs(directory.c_str(), &fs) != 0) return std::numeric_limits<std::int64_t>::max();
    return static_cast<std::int64_t>(fs.f_bavail * fs.f_frsize);
}

std::string free_space(const std::string& directory)
{
    std::string text = std::to_string(free_bytes(directory) >> 10) +
                       " KiB are free on the file system of " + directory;
    struct rlimit most {};
    if (getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur != RLIM_INFINITY)
        text += ", and this process may make no file larger than " +
                std::to_string(most.rlim_cur >> 10) + " KiB: raise that limit (ulimit -f)";
    return text;
}

}  // namespace xlstore
