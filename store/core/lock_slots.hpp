// SPDX-License-Identifier: MIT
// The lock files grow by a slot an incarnation and one a session that waits (store/lock/locks.hpp).
// Ids are never given again (R17), so that a slot is never used again, and the files have no end.
// What is bounded is the space: blocks that hold slots of what is over alone are given back to the
// file system. The files keep their length, and read as zeros there: no claim, generation 0.
//
// Why that is safe. A slot is no lock: locks lie on bytes above all slots, and need no byte of the
// file to exist, so that no hold is touched. What a slot means is a claim, which is for messages,
// and of a slow lock its generation, which says which byte that lock is. A generation that goes
// back to 0 makes an old byte the right one again, and a hold of it might count as still current:
// but the incarnation is destroyed, which is for ever (R14), each commit of a slow hold requires a
// state that is not (R8), and compares the epoch besides (R15). No slot is touched of an
// incarnation that is not destroyed, nor of a session that lives: ids are given under the write
// writer lock, and so is a block looked at and freed. The first block has the writer lock's claim
// and what the directory remembers (store/model/numbers.hpp): it is left alone.
#ifndef XLSTORE_STORE_CORE_LOCK_SLOTS_HPP_
#define XLSTORE_STORE_CORE_LOCK_SLOTS_HPP_

#include <cstdint>

#include "store/core/store.hpp"

namespace xlstore {

struct FreedSlots {
    std::int64_t blocks = 0;
    std::int64_t bytes = 0;
    bool complete = true;  ///< false: the deadline came first
};

/// Counts such blocks without the writer lock, as of now. Errors: io, lost. @throws DbError
Result<FreedSlots> count_free_slots(Store& store, Deadline until);
/// Gives them back. Where the file system cannot do that, none is. Errors: as above, timeout.
/// @throws DbError
Task<Result<FreedSlots>> free_lock_slots(Store& store, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_LOCK_SLOTS_HPP_
