// SPDX-License-Identifier: MIT
// Waiting for an intent that an operation left open: its guest may let go meanwhile, or recovery
// settle it.
#ifndef XLSTORE_STORE_OPERATION_WAIT_HPP_
#define XLSTORE_STORE_OPERATION_WAIT_HPP_

#include "store/core/store.hpp"
#include "store/event/loop.hpp"
#include "store/event/task.hpp"
#include "store/operation/engine.hpp"

namespace xlstore {

/// Waits until the intent is closed, taking a look of its own now and then, with the slow lock for
/// no longer than that: a second at the most, and then several times as long without it. Done: what
/// history says of it. Errors:
///   refused    it was closed as not done;
///   gone       it was closed by the end of its domain, in this boot or before; or it is open
///              and its domain, of this boot, is being destroyed, which closes it;
///   in_doubt   at the deadline, with why it is open; at once while it is open and its domain is of
///              another boot, being destroyed or not: recovery alone ends that domain, and from
///              then on the answer is gone;
///   not_found.
/// What fails in one look, the lock or QEMU's answers, is not the end of the wait. Errors but
/// not_found have the number, and so has what it leaves when it is cancelled while the intent is
/// open, also before it began: in doubt.
Task<Outcome> wait_for_intent(Store& store, IntentId id, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_WAIT_HPP_
