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
/// history says of it. Errors: refused, it was closed as not done; gone, its domain is destroyed or
/// being destroyed; in_doubt at the deadline, with why it is open, and at once if its domain is of
/// another boot: recovery alone closes it; not_found; lost.
Task<Outcome> wait_for_intent(Store& store, IntentId id, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_WAIT_HPP_
