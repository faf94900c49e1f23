// SPDX-License-Identifier: MIT
// A layer over SQLite's own file methods, as SQLite calls them: each call is passed on to the file
// below. A layer puts its own functions in place of those in which it does more.
#ifndef XLSTORE_STORE_DATABASE_VFS_LAYER_HPP_
#define XLSTORE_STORE_DATABASE_VFS_LAYER_HPP_

#include <sqlite3.h>

namespace xlstore {

/// `File` begins with a sqlite3_file, and has the file below it as the member `plain`.
template <class File>
struct VfsLayer {
    static File& file_of(sqlite3_file* file) { return *reinterpret_cast<File*>(file); }

    /// Without a close, which ends `File` too.
    static constexpr sqlite3_io_methods methods()
    {
        sqlite3_io_methods all{};
        all.iVersion = 3;
        all.xRead = [](sqlite3_file* file, void* to, int size, sqlite3_int64 at) {
            return below(file).xRead(plain(file), to, size, at);
        };
        all.xWrite = [](sqlite3_file* file, const void* what, int size, sqlite3_int64 at) {
            return below(file).xWrite(plain(file), what, size, at);
        };
        all.xTruncate = [](sqlite3_file* file, sqlite3_int64 size) {
            return below(file).xTruncate(plain(file), size);
        };
        all.xSync = [](sqlite3_file* file, int flags) {
            return below(file).xSync(plain(file), flags);
        };
        all.xFileSize = [](sqlite3_file* file, sqlite3_int64* size) {
            return below(file).xFileSize(plain(file), size);
        };
        all.xLock = [](sqlite3_file* file, int level) {
            return below(file).xLock(plain(file), level);
        };
        all.xUnlock = [](sqlite3_file* file, int level) {
            return below(file).xUnlock(plain(file), level);
        };
        all.xCheckReservedLock = [](sqlite3_file* file, int* out) {
            return below(file).xCheckReservedLock(plain(file), out);
        };
        all.xFileControl = [](sqlite3_file* file, int op, void* argument) {
            return below(file).xFileControl(plain(file), op, argument);
        };
        all.xSectorSize = [](sqlite3_file* file) { return below(file).xSectorSize(plain(file)); };
        all.xDeviceCharacteristics = [](sqlite3_file* file) {
            return below(file).xDeviceCharacteristics(plain(file));
        };
        with_index(all);
        with_maps(all);
        return all;
    }

private:
    static sqlite3_file* plain(sqlite3_file* file) { return file_of(file).plain; }
    static const sqlite3_io_methods& below(sqlite3_file* file) { return *plain(file)->pMethods; }

    static constexpr void with_index(sqlite3_io_methods& all)
    {
        all.xShmMap = [](sqlite3_file* file, int region, int size, int extend,
                         void volatile** out) {
            return below(file).xShmMap(plain(file), region, size, extend, out);
        };
        all.xShmLock = [](sqlite3_file* file, int offset, int n, int flags) {
            return below(file).xShmLock(plain(file), offset, n, flags);
        };
        all.xShmBarrier = [](sqlite3_file* file) { below(file).xShmBarrier(plain(file)); };
        all.xShmUnmap = [](sqlite3_file* file, int remove) {
            return below(file).xShmUnmap(plain(file), remove);
        };
    }

    // Version 3; a layer without these two maps no file.
    static constexpr void with_maps(sqlite3_io_methods& all)
    {
        all.xFetch = [](sqlite3_file* file, sqlite3_int64 at, int size, void** out) {
            *out = nullptr;
            return below(file).iVersion < 3 ? SQLITE_OK
                                            : below(file).xFetch(plain(file), at, size, out);
        };
        all.xUnfetch = [](sqlite3_file* file, sqlite3_int64 at, void* page) {
            return below(file).iVersion < 3 ? SQLITE_OK
                                            : below(file).xUnfetch(plain(file), at, page);
        };
    }
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_VFS_LAYER_HPP_
