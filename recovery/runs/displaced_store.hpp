// SPDX-License-Identifier: MIT
// A store that went back to an older state, or was copied (store/database/displaced.hpp): what is
// asked before it is made this place's store. Where no QEMU of it lives that is safe, and an
// unattended run does it.
#ifndef XLSTORE_RECOVERY_RUNS_DISPLACED_STORE_HPP_
#define XLSTORE_RECOVERY_RUNS_DISPLACED_STORE_HPP_

#include <initializer_list>
#include <map>
#include <string>

#include "recovery/base/check.hpp"
#include "store/core/store.hpp"

namespace xlstore::recovery {

/// The QEMUs that live as far as rows and monitors tell, by their pid and in words: those that the
/// rows of `databases` register, if they are not proved dead, and those with a monitor in run/ of
/// `directory` that none of them knows. REQUIRES databases of this release's schema.
/// @throws DbError, IoError
std::map<std::int64_t, std::string> living_qemus(const std::string& directory,
                                                 std::initializer_list<Db*> databases);

/// The problem, and what was seen. `store`: open for looking, and displaced().
struct DisplacedStore {
    Code code;
    Subject about;
};
DisplacedStore look_at_displaced(Store& store);
/// False: it counts no commits and looks older than it is, and that it is damaged comes first.
[[nodiscard]] bool has_own_row(Db& db);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_RUNS_DISPLACED_STORE_HPP_
