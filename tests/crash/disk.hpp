// SPDX-License-Identifier: MIT
// A disk with a cache, as a power cut finds it. What a program did to its files is a list of steps;
// taking them one by one, this keeps what was synced apart from what was not, and can say at any
// moment what a cut may leave: everything synced, and of the rest any part.
//
//   contents  of what was written since the file's last sync any subset is there, sector by sector
//             (512 bytes), so that a write may be torn, and a later one there without an earlier;
//             where a lost write had made the file longer, it may be longer all the same
//   names     of files made, renamed and removed since the directory's last sync, the first few:
//             a journaling file system keeps their order
#ifndef XLSTORE_TESTS_CRASH_DISK_HPP_
#define XLSTORE_TESTS_CRASH_DISK_HPP_

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <variant>
#include <vector>

namespace xlstore::test {

using Bytes = std::vector<std::byte>;

struct DiskStep {
    enum class Kind { make, remove, rename, write, truncate, sync, sync_names };
    Kind kind;
    std::string name;     ///< of the file, without its directory
    std::string to = {};  ///< of a rename
    std::int64_t at = 0;  ///< of a write; the size of a truncation
    Bytes what = {};      ///< of a write
};

/// What happened in cuts so far.
struct DiskCounts {
    std::uint64_t lost = 0;  ///< unsynced writes of which nothing was kept
    std::uint64_t torn = 0;  ///< of which some sectors were kept
    std::uint64_t reordered =
        0;                    ///< cuts that kept a write and lost an earlier one of the same file
    std::uint64_t sizes = 0;  ///< truncations lost, and lengths kept without their contents
    std::uint64_t names = 0;  ///< names made, renamed or removed, and lost
};

class Disk {
public:
    void take(const DiskStep& step);
    /// From now on it says that it has synced, and has not.
    void lie() noexcept { lying_ = true; }

    /// What a cut now leaves; the same for the same seed.
    [[nodiscard]] std::map<std::string, Bytes> cut(std::uint64_t seed, DiskCounts& counts) const;

private:
    struct Write {
        std::int64_t at;
        Bytes what;
    };
    using Change = std::variant<Write, std::int64_t>;  // a write, or a truncation to this size
    struct File {
        Bytes synced;
        std::vector<Change> since;
    };
    using Names = std::map<std::string, std::size_t>;  // to an index of files_

    static void rename(Names& names, const DiskStep& step, std::size_t file);
    static Bytes after_cut(const File& file, std::mt19937_64& random, DiskCounts& counts);

    bool lying_ = false;
    std::vector<File> files_;
    Names names_;
    Names synced_names_;
    std::vector<std::pair<DiskStep, std::size_t>> names_since_;  // step and the file it is about
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_CRASH_DISK_HPP_
