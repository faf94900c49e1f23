// SPDX-License-Identifier: MIT
// What a repair of a host replaced (host_undo.hpp), put back on request.
#ifndef XLSTORE_RECOVERY_LIBXL_PUT_BACK_HPP_
#define XLSTORE_RECOVERY_LIBXL_PUT_BACK_HPP_

#include <string>
#include <vector>

#include "store/base/error.hpp"
#include "store/event/loop.hpp"

namespace xlstore::recovery {

/// One file or node put back, or why not.
struct PutBack {
    std::string what;  ///< its path
    Result<void> done;
    bool earlier = false;  ///< another run had put it back
    bool over = false;     ///< no further run can put it back
};

/// Puts back what stands in `directory`, the last change first, each only where it is still as the
/// repair left it: what changed since stays (conflict), and with it all that the same transaction
/// changed, and what was changed of the same domain before (R1: the order in which entry and thing
/// come back is kept). A node that came stays if something of another client's is below it. What is
/// as it was before the repair is done. What is not proved to be the repair's stays (conflict).
/// Once the host was booted all stays (conflict). Files under libxl's lock on them.
///
/// What is done is noted once it is, and is not done again: what is there later is another
/// client's. A run that was killed leaves a proof of what it did and could not note; the next goes
/// on behind it.
/// Errors: io, invalid: it is no directory of such a run; busy: another process uses it. Nothing
/// was changed then.
Task<Result<std::vector<PutBack>>> undo_host_repair(Loop& loop, std::string directory,
                                                    Deadline until);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_PUT_BACK_HPP_
