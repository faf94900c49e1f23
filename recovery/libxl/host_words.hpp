// SPDX-License-Identifier: MIT
// What a pass finds in the private store, in the words of a host without one: the passes speak of
// entries, the administrator has a configuration. What is no fault of a host, because libxl itself
// leaves it so after an ordinary command, is a note here.
#ifndef XLSTORE_RECOVERY_LIBXL_HOST_WORDS_HPP_
#define XLSTORE_RECOVERY_LIBXL_HOST_WORDS_HPP_

#include "recovery/base/check.hpp"

namespace xlstore::recovery {

/// The problem that `found` is on a host. `monitor_lock_left`: a process died while it held the
/// domain's monitor: a processor that QEMU has and the configuration has not comes of that, and not
/// of an ordinary 'xl vcpu-set', which never writes it down.
[[nodiscard]] Code host_code(Code found, const std::optional<ThingName>& thing,
                             bool monitor_lock_left);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_HOST_WORDS_HPP_
