// SPDX-License-Identifier: MIT
// Names in a store's run/: sockets and logs are called after the incarnation that they are of.
#ifndef XLSTORE_RECOVERY_RUN_DIRECTORY_HPP_
#define XLSTORE_RECOVERY_RUN_DIRECTORY_HPP_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/store.hpp"

namespace xlstore::recovery {

/// Of "qmp-N" and "qmp-N-…" (again after a soft reset), "qemu-N.log"; nothing: another name.
std::optional<DomainId> incarnation_in(std::string_view name, std::string_view prefix);
/// 0: none.
std::int64_t highest_incarnation_in(const std::string& run);

/// All of this pid namespace, as far as /proc shows them.
std::vector<pid_t> processes();

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_RUN_DIRECTORY_HPP_
