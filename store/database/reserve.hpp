// SPDX-License-Identifier: MIT
// R21: room on the disk that only destruction, settling and recovery may take, so that they succeed
// on a full disk.
//
// The reserve is blocks that the two files of the database have already: zeros behind the last
// frame of the log (-wal), where the next commits go, and behind the last page of the database,
// where a checkpoint copies to. It never passes through the pool of free blocks, so that no other
// program can take it in between. SQLite takes a tail of zeros in either file for what it is,
// nothing: a new store's log is all zeros, and has no header, until its first commit. On a file
// system that copies on write (btrfs, ZFS) a block that a file has does not help: there the reserve
// promises nothing.
//
// An SQLite file system layer (VFS) of our own keeps it. It refuses each write of an ordinary
// transaction that would leave less than the reserve, with SQLITE_FULL, as a full disk does; all
// other calls go to SQLite's own layer. A quota that is used up counts as a full disk. It belongs
// to the thread of its connection.
#ifndef XLSTORE_STORE_DATABASE_RESERVE_HPP_
#define XLSTORE_STORE_DATABASE_RESERVE_HPP_

#include <cstdint>
#include <string>

struct sqlite3;

namespace xlstore {

/// What a commit may take when the disk is full.
enum class Room {
    ordinary,  ///< what is left beside the reserve
    half,      ///< half of the reserve too: a copy (R22) that can be omitted
    reserve    ///< the reserve too: destruction, settling, recovery, and the opening of a session
};

namespace limits {

// In bytes. A destruction takes about thirty frames of 4 KiB, and the log is started anew between
// two commits when it is short; of the database's pages it mostly takes what it has freed.
inline constexpr std::int64_t reserve_in_log = 1 << 20;
inline constexpr std::int64_t reserve_in_database = 512 << 10;
// Before an ordinary transaction there is this much room besides, or the log is started anew: most
// fit. A new store's log has it too, so that a disk that is full from the first moment is no
// reason to refuse, for instance, the ejecting of a medium.
inline constexpr std::int64_t ordinary_room = 128 << 10;
// The database of a new store, and all else in it.
inline constexpr std::int64_t empty_store_bytes = 640 << 10;

}  // namespace limits

/// The name of the layer for sqlite3_open_v2(); registered, not as SQLite's default, by the first
/// call. @throws std::bad_alloc
[[nodiscard]] const char* reserving_vfs();

/// What the layer does for one connection that was opened with it. On any other connection each
/// call does nothing and says yes. REQUIRES the writer lock for fill() and lasts().
class Reserve {
public:
    Reserve() noexcept = default;
    explicit Reserve(sqlite3* db) noexcept;

    /// What the connection's next writes may take.
    void allow(Room room) noexcept;
    /// Allocates what the reserve lacks, and the room for an ordinary transaction. In SQLite's
    /// words: SQLITE_OK; SQLITE_FULL: the disk has not got that, and what it had was taken; else an
    /// I/O error, which says nothing of the room. `pages`: that the database uses by its own
    /// header, or more if it has the reserve behind those.
    [[nodiscard]] int fill(std::int64_t pages, std::int64_t page_size) noexcept;
    /// No fewer than the database uses: its log's index counts zeros behind them too, once the log
    /// was empty, and is not to be filled behind for that reason. 0: it does not say.
    [[nodiscard]] std::int64_t most_pages() const noexcept;
    /// The database has the reserve, and room for an ordinary transaction, behind so many pages.
    [[nodiscard]] bool has_behind(std::int64_t pages, std::int64_t page_size) noexcept;
    /// Is it proved that there is room for a commit of a destruction, in the reserve alone?
    [[nodiscard]] bool lasts() noexcept;

private:
    void* file_ = nullptr;  // the layer's, of the database; null: another layer's
};

/// To this user. When it cannot be asked: as many as can be counted, so that the write says it.
[[nodiscard]] std::int64_t free_bytes(const std::string& directory) noexcept;
/// "12 KiB are free on the file system of DIRECTORY", and what limits this process's files, if
/// anything does (ulimit -f); for messages.
[[nodiscard]] std::string free_space(const std::string& directory);

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_RESERVE_HPP_
