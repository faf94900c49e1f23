// SPDX-License-Identifier: MIT
// Which processes have a store open for writing, or repair it: those that hold a session byte, by
// the kernel's word.
#ifndef XLSTORE_STORE_LOCK_SESSION_HOLDERS_HPP_
#define XLSTORE_STORE_LOCK_SESSION_HOLDERS_HPP_

#include <string>
#include <vector>

#include "store/lock/lock_holders.hpp"
#include "store/lock/locks.hpp"

namespace xlstore {

[[nodiscard]] std::vector<LockHolder> session_holders(const Locks& locks);

/// The same at the end of a message: ": pid 7 (xl), pid 9 (xlfsck)"; "": /proc shows none of them.
[[nodiscard]] std::string and_session_holders(const Locks& locks);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LOCK_SESSION_HOLDERS_HPP_
