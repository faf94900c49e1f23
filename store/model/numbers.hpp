// SPDX-License-Identifier: MIT
// The numbers of a store that only go up: ids, which are never used again, and the count of its
// commits. They are in the database, and the directory remembers the highest that it has seen
// (R17): a line in the first bytes of both lock files. It is written under the writer lock, after
// the commit that it counts, so that a kill in between leaves a memory that is too low, and never
// makes a sound store look old. It is not synced: after a power cut it may be of any age, and the
// QEMUs of that boot are dead.
#ifndef XLSTORE_STORE_MODEL_NUMBERS_HPP_
#define XLSTORE_STORE_MODEL_NUMBERS_HPP_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace xlstore {

struct Numbers {
    /// Tables whose ids mean something outside the database: lock bytes, names of files, numbers
    /// that callers keep.
    static constexpr std::array<const char*, 5> kTables = {"session", "domain", "thing", "intent",
                                                           "history"};
    /// More than a store gives between two looks at its numbers, and more than the number in the
    /// name of a file can be (store/core/run_directory.hpp). What is further above all that is
    /// known to have been given was put there by hand, or by damage.
    static constexpr std::int64_t kMostAtOnce = std::int64_t{1} << 34;
    /// The highest that an id can be. store/lock/locks.cc has bytes for 2^39; what is near the end
    /// leaves none to give. No store gives so many: also a number above this was put there by hand.
    static constexpr std::int64_t kHighestId = (std::int64_t{1} << 39) - kMostAtOnce;
    /// No store commits so often. What is above this is damaged, or was put there by hand.
    static constexpr std::int64_t kMostCommits = std::int64_t{1} << 53;
    std::int64_t commits = 0;
    std::array<std::int64_t, kTables.size()> ids{};  ///< the highest that was given, a table each

    bool operator==(const Numbers&) const = default;
    /// Of each the higher of both. An id above kHighestId is none that was given.
    void raise_to(const Numbers& other);
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
    std::int64_t born_ns = 0;  ///< store/base/birth_time.hpp
};
/// The part that is the same in each file: it is made once for all of them.
[[nodiscard]] std::string numbers_words(const Numbers& numbers);
/// One line of such words, with a check sum.
[[nodiscard]] std::string numbers_line(std::string_view words, LineFile file);
struct NumbersLine {
    Numbers numbers;
    LineFile file;
};
/// Nothing: no such line, or not a whole one.
[[nodiscard]] std::optional<NumbersLine> read_numbers_line(std::string_view line);

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_NUMBERS_HPP_
