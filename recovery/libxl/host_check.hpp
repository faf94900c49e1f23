// SPDX-License-Identifier: MIT
// xlfsck --libxl: a host whose toolstack is libxl alone, checked and repaired without a store of
// its own. What is there is read into a private store by looking (R19), the passes of recovery
// compare it with QEMU and xenstore, and what they change is written back to libxl's file, element
// by element, under libxl's locks.
#ifndef XLSTORE_RECOVERY_LIBXL_HOST_CHECK_HPP_
#define XLSTORE_RECOVERY_LIBXL_HOST_CHECK_HPP_

#include <memory>
#include <string>

#include "recovery/base/check.hpp"
#include "store/base/log.hpp"

namespace xlstore::recovery {

struct HostOptions {
    std::string root;    ///< libxl's directories are below it; "": this host's
    std::string domain;  ///< a domid, a name or a uuid; "": all
    /// Between the two looks that a finding must be seen in: a command of libxl's that is under way
    /// looks like one that was cut off.
    std::chrono::milliseconds pause = std::chrono::seconds(1);
    std::shared_ptr<const Log> log = {};
};

struct HostChecked {
    Report report;
    int domains = 0;   ///< that were looked at
    std::string undo;  ///< the directory of what was replaced (R22); "": nothing was
};

/// Looks, and repairs by the mode of `options`. In Mode::look nothing is written anywhere: libxl's
/// locks are taken for as long as it looks, and their files are as they were afterwards. No guest
/// is changed by any mode. Errors: io (xenstored could not be asked: nothing can be said of this
/// host), not_found (no such domain), those of a private store.
Result<HostChecked> check_host(const HostOptions& host, Options options);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_HOST_CHECK_HPP_
