// SPDX-License-Identifier: MIT
// Is a domain that lacks what libxl writes last one that a living process creates just now?
#ifndef XLSTORE_RECOVERY_LIBXL_HOST_CREATOR_HPP_
#define XLSTORE_RECOVERY_LIBXL_HOST_CREATOR_HPP_

#include <sys/types.h>

#include <optional>
#include <string>

namespace xlstore::recovery {

/// A process of xl(1) that creates a domain, restores or receives one; which of the domains it is
/// cannot be seen. None: no such process, or /proc does not tell. The one that xl leaves behind for
/// each domain that it has created is known by its log, and is none of them, but for one: when the
/// guest of its domain reboots it makes that anew. `made_anew`: the name of a domain that may be
/// that, "" if it cannot be. Other toolstacks than xl are not known by it.
[[nodiscard]] std::optional<pid_t> creating_process(const std::string& made_anew);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_HOST_CREATOR_HPP_
