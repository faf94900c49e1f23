// SPDX-License-Identifier: MIT
// The numbers of a store that only go up: ids, which are never used again, and the count of its
// commits. They are in the database, and the directory remembers the highest that it has seen
// (R17): a line in the first bytes of both lock files. It is written under the write gate, after
// the commit that it counts, so that a kill in between leaves a memory that is too low, and never
// makes a sound store look old. It is not synced: after a power cut it may be of any age, and the
// QEMUs of that boot are dead.
#ifndef XLSTORE_STORE_NUMBERS_HPP_
#define XLSTORE_STORE_NUMBERS_HPP_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace xlstore {

class Db;

struct Numbers {
    /// Tables whose ids mean something outside the database: lock bytes, names of files, numbers
    /// that callers keep.
    static constexpr std::array<const char*, 5> kTables = {"session", "domain", "thing", "intent",
                                                           "history"};
    /// The highest that an id can be: store/locks.cc has a byte for no higher one, and no store gives so
    /// many. A number above it in sqlite_sequence was put there by hand, or by damage.
    static constexpr std::int64_t kHighestId = std::int64_t{1} << 39;
    std::int64_t commits = 0;
    std::array<std::int64_t, kTables.size()> ids{};  ///< the highest that was given, a table each

    bool operator==(const Numbers&) const = default;
};

/// What a directory remembers.
struct Memory {
    Numbers numbers;
    /// It was written into another file than it stands in: the lock files were put back, too.
    bool foreign = false;
};

/// The file that a line is written into.
struct LineFile {
    std::uint64_t inode = 0;
    std::int64_t born_ns = 0;  ///< store/birth_time.hpp
};
/// One line, with a check sum.
[[nodiscard]] std::string numbers_line(const Numbers& numbers, LineFile file);
struct NumbersLine {
    Numbers numbers;
    LineFile file;
};
/// Nothing: no such line, or not a whole one.
[[nodiscard]] std::optional<NumbersLine> read_numbers_line(std::string_view line);

/// Does the schema of `db` count commits? @throws DbError
[[nodiscard]] bool counts_commits(Db& db);
/// An id above kHighestId is no number that was given: that table's is the highest of its rows then.
/// REQUIRES counts_commits(). @throws DbError
[[nodiscard]] Numbers read_numbers(Db& db);
/// Counts the commit that is about to be made; the numbers after it. REQUIRES counts_commits() and
/// an open write transaction. @throws DbError  a number is above kHighestId: nothing may be committed
Numbers count_commit(Db& db);
/// R17: ids go on above `seen` and above the rows where sqlite_sequence is too high, the commit count too; epochs and revisions of every domain go up by
/// as much as the commits that are missing could have advanced them. REQUIRES as count_commit().
/// @throws DbError
void raise_numbers(Db& db, const Memory& seen);

}  // namespace xlstore

#endif  // XLSTORE_STORE_NUMBERS_HPP_
