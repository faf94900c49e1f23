// SPDX-License-Identifier: MIT
// Is a domain that lacks what libxl writes last one that a living process creates just now?
#ifndef XLSTORE_RECOVERY_LIBXL_HOST_CREATOR_HPP_
#define XLSTORE_RECOVERY_LIBXL_HOST_CREATOR_HPP_

#include <sys/types.h>

#include <optional>

namespace xlstore::recovery {

/// A process of xl(1) that creates a domain, restores or receives one; which of the domains it is
/// cannot be seen. None: no such process, or /proc does not tell. The one that xl leaves behind for
/// each domain that it has created is none of them: it is known by its log. Not seen is therefore a
/// domain that this one makes anew, when its guest reboots. Other toolstacks than xl are not known
/// by it.
[[nodiscard]] std::optional<pid_t> creating_process();

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_HOST_CREATOR_HPP_
