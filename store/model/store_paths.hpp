// SPDX-License-Identifier: MIT
// The names of a store's files: here alone. Values; nothing is looked at.
//
//   store.db, -wal, -shm     the database, its log, the index of the log
//   locks, slow              lock files (store/lock/locks.hpp)
//   spare                    blocks to be given up, and a third memory (store/lock/spare.hpp)
//   run/                     sockets and logs of QEMUs (store/core/run_directory.hpp)
//   store.db.new             a database that is being made (store/database/new_database.hpp)
//   store.db.saving          a damaged one while it is being replaced: where it is and store.db is
//                            not, xlfsck has to go on with that
//   store.db.damaged-DATE    one that was replaced, since it was damaged
//   store.db.replaced-DATE   one that a restore replaced
#ifndef XLSTORE_STORE_MODEL_STORE_PATHS_HPP_
#define XLSTORE_STORE_MODEL_STORE_PATHS_HPP_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace xlstore {

namespace names {

inline constexpr std::string_view kDatabase = "store.db";
inline constexpr std::string_view kNew = "store.db.new";
inline constexpr std::string_view kBeingSaved = "store.db.saving";
inline constexpr std::string_view kDamaged = "store.db.damaged-";
inline constexpr std::string_view kReplaced = "store.db.replaced-";
inline constexpr std::string_view kLocks = "locks";
inline constexpr std::string_view kSlowLocks = "slow";
inline constexpr std::string_view kSpare = "spare";
inline constexpr std::string_view kRun = "run";

}  // namespace names

class StorePaths {
public:
    explicit StorePaths(std::string directory) : directory_(std::move(directory)) {}

    [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
    [[nodiscard]] std::string database() const { return in(names::kDatabase); }
    [[nodiscard]] std::string log() const { return database() + "-wal"; }
    [[nodiscard]] std::string log_index() const { return database() + "-shm"; }
    [[nodiscard]] std::string new_database() const { return in(names::kNew); }
    [[nodiscard]] std::string being_saved() const { return in(names::kBeingSaved); }
    /// A date follows (store/base/dated_path.hpp), also the next.
    [[nodiscard]] std::string damaged_stem() const { return in(names::kDamaged); }
    [[nodiscard]] std::string replaced_stem() const { return in(names::kReplaced); }
    [[nodiscard]] std::string locks() const { return in(names::kLocks); }
    [[nodiscard]] std::string slow_locks() const { return in(names::kSlowLocks); }
    [[nodiscard]] std::string spare() const { return in(names::kSpare); }
    [[nodiscard]] std::string run() const { return in(names::kRun); }
    /// Monitors of all incarnations begin with it.
    [[nodiscard]] std::string monitor_stem() const { return run() + "/qmp-"; }
    /// Of an incarnation's QEMU; a later one has "-2" behind it, and so on.
    [[nodiscard]] std::string monitor(std::int64_t incarnation) const
    {
        return monitor_stem() + std::to_string(incarnation);
    }
    [[nodiscard]] std::string qemu_log(std::int64_t incarnation) const
    {
        return run() + "/qemu-" + std::to_string(incarnation) + ".log";
    }

private:
    [[nodiscard]] std::string in(std::string_view name) const
    {
        return directory_ + '/' + std::string(name);
    }
    std::string directory_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_STORE_PATHS_HPP_
