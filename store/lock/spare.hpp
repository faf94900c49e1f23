// SPDX-License-Identifier: MIT
// R21: a file of zeros beside the database, of which no program but this one knows. The blocks that
// the log and the database have ahead of need (store/database/reserve.hpp) are lost when another
// program closes the database last: the shell of SQLite removes the log and its index then, and
// cuts the database to its pages. On a full disk neither could be made anew. The blocks of this
// file are given up for them.
//
// They pass through the pool of free blocks, so that a program that takes every block at that very
// moment may get them first: this is the second reserve, not the first.
//
// Its first block stays, and remembers with the lock files how far the store has come (R17).
#ifndef XLSTORE_STORE_LOCK_SPARE_HPP_
#define XLSTORE_STORE_LOCK_SPARE_HPP_

#include <cstdint>

namespace xlstore {

namespace limits {

// In bytes: the log's part of the reserve, and the first piece of the log's index with what
// surrounds it.
inline constexpr std::int64_t spare_bytes = (1 << 20) + (256 << 10);
inline constexpr std::int64_t spare_kept = 4096;

}  // namespace limits

/// Is it for lack of room that a write failed with this errno? A quota that is used up, and a limit
/// on the size of files, are that, too.
[[nodiscard]] bool is_lack_of_room(int error) noexcept;
/// Makes it, or what it lacks. `database`: the path of the database. 0: it is whole; else the errno
/// of the write that failed, and what could be written was. What is there and no file of this
/// user's is left alone, and said to be whole. REQUIRES the writer lock.
[[nodiscard]] int fill_spare(const char* database) noexcept;
/// Gives up at least so many bytes of it. False: there are none, or this user may not.
bool give_up_spare(const char* database, std::int64_t bytes) noexcept;

}  // namespace xlstore

#endif  // XLSTORE_STORE_LOCK_SPARE_HPP_
