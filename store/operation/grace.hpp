// SPDX-License-Identifier: MIT
// What goes on past the deadline of an operation (R20). What QEMU did must be found out and written
// down even when QEMU used up the whole deadline. Both graces count from the operation's own
// deadline, never from now: each command that began its grace anew would leave QEMU the say over
// how long the lock is held.
#ifndef XLSTORE_STORE_OPERATION_GRACE_HPP_
#define XLSTORE_STORE_OPERATION_GRACE_HPP_

#include <chrono>

#include "store/event/loop.hpp"

namespace xlstore {

/// For undoing, and for the last look at QEMU.
[[nodiscard]] inline Deadline probe_deadline(Deadline until)
{
    return until + std::chrono::milliseconds(2500);
}
/// For the last commit.
[[nodiscard]] inline Deadline settle_deadline(Deadline until)
{
    return until + std::chrono::seconds(5);
}

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_GRACE_HPP_
