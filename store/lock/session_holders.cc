// SPDX-License-Identifier: MIT
#include "store/lock/session_holders.hpp"

namespace xlstore {

std::vector<LockHolder> session_holders(const Locks& locks)
{
    const LockFile& file = locks.file(LockKind::session);
    const auto first = locks.byte(LockKind::session, 0);
    return lock_holders(file.path(), file.identity(), first, 2 * first);
}

std::string and_session_holders(const Locks& locks)
{
    const auto holders = session_holders(locks);
    return holders.empty() ? "" : ": " + describe(holders);
}

}  // namespace xlstore
