// SPDX-License-Identifier: MIT
// The locks of a store as they are now: what the kernel says is held, who claims it, whether that
// process lives, who waits. And breaking a slow lock that no process uses any more: a copied
// descriptor in a stray process keeps the byte, and no process is left that could let go of it.
#ifndef XLSTORE_STORE_CORE_LOCK_SURVEY_HPP_
#define XLSTORE_STORE_CORE_LOCK_SURVEY_HPP_

#include <optional>
#include <string>
#include <vector>

#include "store/core/domain.hpp"
#include "store/core/store.hpp"
#include "store/lock/lock_holders.hpp"
#include "store/os/process.hpp"

namespace xlstore {

struct LockUse {
    LockKind kind = LockKind::writer;
    std::optional<DomainRow> domain;  ///< nothing: the writer lock
    bool held = false;                ///< the truth
    std::optional<Claim> claim;       ///< who took it last
    Life claimant = Life::unknown;    ///< whether that one lives
    bool claimant_stopped = false;    ///< it holds the lock, and is stopped: it will not let go
    std::vector<LockHolder> kept_by;  ///< when it is held and its claimant is not known to live
    std::vector<Claim> waiters;       ///< living ones, of a slow lock
};

/// Every lock of the living domains that is held or was claimed, and the writer lock. Writes
/// nothing. Errors: lost.
Result<std::vector<LockUse>> survey_locks(Store& store);

/// What was done about a slow lock, in words; `broken` false: no process held it.
struct Broken {
    bool broken;
    std::string text;
};
/// Makes the slow lock of `domain` free: it gets another byte, and the hold that lost it fails at
/// its next commit (R15). History says who broke whose lock.
/// Errors: refused, unless forced, when its claimant lives or cannot be looked at; timeout; lost.
Task<Result<Broken>> break_slow_lock(Store& store, DomainRow domain, bool force, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_LOCK_SURVEY_HPP_
