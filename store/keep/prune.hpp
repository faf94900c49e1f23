// SPDX-License-Identifier: MIT
// What is kept has bounds (R20), and goes by age, by number or by command, never inside an
// operation: `xlstore prune` does it, and recovery at the end of its run, for what is past the
// bounds below. It goes in slices, each a short transaction under the writer lock, and history
// tells what went. The pages that it frees are used again; the file does not get smaller.
#ifndef XLSTORE_STORE_KEEP_PRUNE_HPP_
#define XLSTORE_STORE_KEEP_PRUNE_HPP_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/core/store.hpp"

namespace xlstore {

/// In the order in which they are pruned, the files before all: a row of a domain stays as long as
/// its document does.
enum class Kept {
    history,  ///< lines of history
    retired,  ///< documents of domains that are over
    undo,     ///< runs of recovery, and what was quarantined
    domains,  ///< rows of domains that are over and of which no document is kept
    damaged,  ///< files that a salvage has put aside
    locks,    ///< space in the lock files for domains and sessions that are over
};
inline constexpr std::array kEverythingKept = {Kept::history, Kept::retired, Kept::undo,
                                               Kept::domains, Kept::damaged, Kept::locks};
[[nodiscard]] std::string_view kept_name(Kept kept) noexcept;
[[nodiscard]] std::optional<Kept> kept_of(std::string_view name) noexcept;

/// What goes: what is older than `days`, and of the rest all but the newest `count`.
struct KeepingBound {
    std::optional<std::int64_t> days;
    std::optional<std::int64_t> count;
    /// Recovery begins when there are so many more: else it would prune, and say so, in each run.
    std::int64_t slack = 0;
};
[[nodiscard]] KeepingBound bound_of(Kept kept) noexcept;

struct PruneOptions {
    std::vector<Kept> what;                       ///< none: all
    std::optional<std::int64_t> older_than_days;  ///< instead of the bound's own age
    bool only_when_due = false;                   ///< not before the slack is used up, too
    bool dry_run = false;                         ///< says what would go; writes nothing
};

struct Pruned {
    Kept kept{};
    std::int64_t count = 0;  ///< rows, files; of `locks`: blocks
    std::int64_t bytes = 0;  ///< of their texts, of the files; of `locks`: on disk
    bool complete = true;    ///< false: the deadline came first; the next one goes on
};

/// What went, or would, of each kind that was asked for: the files first, which on a full disk make
/// the room for the rest. A kind that fails keeps no other from its turn; the first failure is the
/// error (busy, lost, io, …), and names what went all the same. @throws DbError: damage
Task<Result<std::vector<Pruned>>> prune(Store& store, PruneOptions options, Deadline until);

/// "12 lines of history (3 KiB)".
[[nodiscard]] std::string describe(const Pruned& pruned);

}  // namespace xlstore

#endif  // XLSTORE_STORE_KEEP_PRUNE_HPP_
