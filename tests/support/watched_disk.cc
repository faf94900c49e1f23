// SPDX-License-Identifier: MIT
#include "tests/support/watched_disk.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "tests/support/scratch.hpp"

namespace xlstore::test {

namespace {

constexpr std::int64_t kSector = 512;
constexpr std::size_t kFrameHeader = 24;

WatchedDisk* the_disk = nullptr;

sqlite3_vfs* own()
{
    return sqlite3_vfs_find("unix");
}

// SQLite's file, with ours behind it.
struct Wrapper {
    sqlite3_file base;
    WatchedDisk::File* watched;
    bool log;
    sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

Wrapper* of(sqlite3_file* file)
{
    return reinterpret_cast<Wrapper*>(file);
}

using Call = WatchedDisk::Call;

// Asks whether the call may be made, and makes it.
template <class Make>
int call(sqlite3_file* file, Call what, Make make)
{
    if (of(file)->watched)
        if (const int rc = the_disk->ask(what); rc != SQLITE_OK) return rc;
    return make(of(file)->real());
}

int do_close(sqlite3_file* file)
{
    return of(file)->real()->pMethods->xClose(of(file)->real());
}
int do_read(sqlite3_file* file, void* to, int size, sqlite3_int64 at)
{
    return call(file, Call::read,
                [&](sqlite3_file* f) { return f->pMethods->xRead(f, to, size, at); });
}
int do_write(sqlite3_file* file, const void* from, int size, sqlite3_int64 at)
{
    const int rc = call(file, Call::write,
                        [&](sqlite3_file* f) { return f->pMethods->xWrite(f, from, size, at); });
    if (rc == SQLITE_OK && of(file)->watched) {
        the_disk->wrote(*of(file)->watched, of(file)->log, at, static_cast<const char*>(from),
                        static_cast<std::size_t>(size));
        the_disk->done(Call::write);
    }
    return rc;
}

void apply(std::string& bytes, std::int64_t at, std::string_view part)
{
    const auto end = static_cast<std::size_t>(at) + part.size();
    if (bytes.size() < end) bytes.resize(end, '\0');
    bytes.replace(static_cast<std::size_t>(at), part.size(), part);
}

int do_truncate(sqlite3_file* file, sqlite3_int64 size)
{
    const int rc = call(file, Call::truncate,
                        [&](sqlite3_file* f) { return f->pMethods->xTruncate(f, size); });
    if (rc == SQLITE_OK && of(file)->watched) {
        of(file)->watched->since.emplace_back(WatchedDisk::Truncate{size});
        the_disk->done(Call::truncate);
    }
    return rc;
}
int do_sync(sqlite3_file* file, int flags)
{
    const int rc =
        call(file, Call::sync, [&](sqlite3_file* f) { return f->pMethods->xSync(f, flags); });
    auto* watched = of(file)->watched;
    if (rc == SQLITE_OK && watched) {
        for (const auto& one : watched->since) {
            if (the_disk->lies) break;
            if (const auto* write = std::get_if<WatchedDisk::Write>(&one))
                apply(watched->synced, write->at, write->bytes);
            else
                watched->synced.resize(
                    static_cast<std::size_t>(std::get<WatchedDisk::Truncate>(one).size));
        }
        if (!the_disk->lies) watched->since.clear();
        the_disk->done(Call::sync);
    }
    return rc;
}
int do_size(sqlite3_file* file, sqlite3_int64* size)
{
    return call(file, Call::size, [&](sqlite3_file* f) { return f->pMethods->xFileSize(f, size); });
}
int do_lock(sqlite3_file* file, int kind)
{
    return call(file, Call::lock, [&](sqlite3_file* f) { return f->pMethods->xLock(f, kind); });
}
int do_unlock(sqlite3_file* file, int kind)
{
    return of(file)->real()->pMethods->xUnlock(of(file)->real(), kind);
}
int do_check(sqlite3_file* file, int* reserved)
{
    return of(file)->real()->pMethods->xCheckReservedLock(of(file)->real(), reserved);
}
int do_control(sqlite3_file* file, int what, void* argument)
{
    return of(file)->real()->pMethods->xFileControl(of(file)->real(), what, argument);
}
int do_sector(sqlite3_file* file)
{
    return of(file)->real()->pMethods->xSectorSize(of(file)->real());
}
int do_characteristics(sqlite3_file* file)
{
    return of(file)->real()->pMethods->xDeviceCharacteristics(of(file)->real());
}
int do_shm_map(sqlite3_file* file, int page, int size, int extend, void volatile** map)
{
    return call(file, Call::shm_map,
                [&](sqlite3_file* f) { return f->pMethods->xShmMap(f, page, size, extend, map); });
}
int do_shm_lock(sqlite3_file* file, int offset, int n, int flags)
{
    if (flags & SQLITE_SHM_UNLOCK)
        return of(file)->real()->pMethods->xShmLock(of(file)->real(), offset, n, flags);
    return call(file, Call::shm_lock,
                [&](sqlite3_file* f) { return f->pMethods->xShmLock(f, offset, n, flags); });
}
void do_shm_barrier(sqlite3_file* file)
{
    of(file)->real()->pMethods->xShmBarrier(of(file)->real());
}
int do_shm_unmap(sqlite3_file* file, int remove)
{
    return of(file)->real()->pMethods->xShmUnmap(of(file)->real(), remove);
}

const sqlite3_io_methods kMethods = {2,
                                     do_close,
                                     do_read,
                                     do_write,
                                     do_truncate,
                                     do_sync,
                                     do_size,
                                     do_lock,
                                     do_unlock,
                                     do_check,
                                     do_control,
                                     do_sector,
                                     do_characteristics,
                                     do_shm_map,
                                     do_shm_lock,
                                     do_shm_barrier,
                                     do_shm_unmap,
                                     nullptr,
                                     nullptr};

int do_open(sqlite3_vfs*, const char* path, sqlite3_file* file, int flags, int* out)
{
    auto* wrapper = of(file);
    std::memset(wrapper, 0, sizeof *wrapper);
    const bool watched = path && the_disk->watches(path);
    if (watched)
        if (const int rc = the_disk->ask(Call::open); rc != SQLITE_OK) return rc;
    const int rc = own()->xOpen(own(), path, wrapper->real(), flags, out);
    if (wrapper->real()->pMethods) wrapper->base.pMethods = &kMethods;
    if (rc != SQLITE_OK || !watched) return rc;
    wrapper->watched = &the_disk->file(path);
    wrapper->log = (flags & SQLITE_OPEN_WAL) != 0;
    return rc;
}
int do_delete(sqlite3_vfs*, const char* path, int sync)
{
    if (the_disk->watches(path)) {
        if (const int rc = the_disk->ask(Call::remove); rc != SQLITE_OK) return rc;
        the_disk->forget(path);
    }
    return own()->xDelete(own(), path, sync);
}

sqlite3_vfs the_vfs;

}  // namespace

WatchedDisk::WatchedDisk(std::string directory) : directory_(std::move(directory))
{
    if (the_disk) throw std::logic_error("one watched disk at a time");
    the_disk = this;
    the_vfs = *own();
    the_vfs.zName = "watched";
    the_vfs.szOsFile = static_cast<int>(sizeof(Wrapper)) + own()->szOsFile;
    the_vfs.xOpen = do_open;
    the_vfs.xDelete = do_delete;
    sqlite3_vfs_register(&the_vfs, 1);
}

WatchedDisk::~WatchedDisk()
{
    sqlite3_vfs_unregister(&the_vfs);
    sqlite3_vfs_register(own(), 1);
    the_disk = nullptr;
}

bool WatchedDisk::watches(const char* path) const
{
    return std::string_view(path).starts_with(directory_ + "/");
}

WatchedDisk::File& WatchedDisk::file(const std::string& path)
{
    const auto [it, fresh] = files_.try_emplace(path);
    if (fresh) it->second.synced = read_file(path);
    return it->second;
}

void WatchedDisk::wrote(File& file, bool log, std::int64_t at, const char* bytes, std::size_t size)
{
    file.since.emplace_back(Write{at, std::string(bytes, size)});
    // The header of a commit's last frame says how many pages the database then has; its page comes
    // next.
    if (log && size == kFrameHeader)
        last_frame_ = (bytes[4] | bytes[5] | bytes[6] | bytes[7]) != 0;
    else if (log && std::exchange(last_frame_, false))
        ++commits_;
}

std::map<std::string, std::string> WatchedDisk::cut(std::mt19937_64& dice, Losses& losses) const
{
    const auto chance = [&](int percent) { return static_cast<int>(dice() % 100) < percent; };
    std::map<std::string, std::string> left;
    for (const auto& [path, file] : files_) {
        std::string bytes = file.synced;
        const int keep = static_cast<int>(dice() % 101);  // some cuts lose all, some nothing
        for (const auto& one : file.since) {
            if (const auto* truncate = std::get_if<Truncate>(&one)) {
                if (chance(keep)) bytes.resize(static_cast<std::size_t>(truncate->size), '\0');
                continue;
            }
            const auto& write = std::get<Write>(one);
            const bool torn = chance(25);
            if (!torn) {
                const bool kept = chance(keep);
                if (kept) apply(bytes, write.at, write.bytes);
                ++(kept ? losses.kept : losses.lost);
                continue;
            }
            ++losses.torn;
            const auto end = write.at + static_cast<std::int64_t>(write.bytes.size());
            for (auto at = write.at; at < end;) {
                const auto next = std::min(end, (at / kSector + 1) * kSector);
                if (chance(50))
                    apply(bytes, at,
                          std::string_view(write.bytes)
                              .substr(static_cast<std::size_t>(at - write.at),
                                      static_cast<std::size_t>(next - at)));
                at = next;
            }
        }
        left[path.substr(directory_.size() + 1)] = std::move(bytes);
    }
    return left;
}

}  // namespace xlstore::test
