// SPDX-License-Identifier: MIT
// A backup put back (R17): its state becomes this place's store, under ids and epochs above all
// that this directory has seen. What was there before is kept, dated (R22). QEMUs that live are
// asked and nothing else (R19): what is in them is adopted, and what is not becomes stale; an
// intent that was open when the backup was taken is closed by what QEMU shows, a creation that was
// under way is registered, and neither is undone.
//
// It replaces one file by one rename: killed anywhere, the store is the old one or the new one.
#ifndef XLSTORE_RECOVERY_RUNS_RESTORE_HPP_
#define XLSTORE_RECOVERY_RUNS_RESTORE_HPP_

#include <functional>
#include <string>
#include <vector>

#include "recovery/base/check.hpp"
#include "store/core/store.hpp"

namespace xlstore::recovery {

struct RestoreOptions {
    /// What 'xlstore backup' wrote, a copy that VACUUM INTO made, a database with its log beside
    /// it, or one that a restore replaced.
    std::string file;
    std::string source = {};  ///< what history calls it; "": by its name
    bool adopt = false;  ///< also while QEMUs of the store live: they are registered by looking
    std::string userdata = "/var/lib/xen";                     ///< as in Options
    std::chrono::milliseconds timeout_each = std::chrono::seconds(10);  ///< for each domain
    std::function<void(const Finding&)> found;                 ///< as in Options
};

struct RestoredDomain {
    std::int64_t domid = 0;
    std::string subject;
    std::string text;  ///< "QEMU 123 lives", "no QEMU", …
};
struct Restored {
    std::string kept;  ///< where the database that was there before is; "": there was none
    std::int64_t commits = 0;  ///< of the backup
    Report report;             ///< of the passes that followed
    std::vector<RestoredDomain> domains;
};

/// Makes the store, if there is none. Waits `where.open_timeout` for those that have it open.
/// Errors, with nothing changed: invalid (it is no backup, of a newer release, damaged,
/// copied without its log); refused
/// (QEMUs live, and not `adopt`; they are named); busy (it is open: by whom); store, io, exists.
/// Error unfinished: the backup is the store now, and what follows could not be done: the advice
/// names what was kept, and what goes on with it. @throws DbError
Result<Restored> restore(const StoreOptions& where, RestoreOptions options);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_RUNS_RESTORE_HPP_
