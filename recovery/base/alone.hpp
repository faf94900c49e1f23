// SPDX-License-Identifier: MIT
// Alone with a store, to replace its database (R17): the writer lock and every session byte are
// held, so that no other process has it open for writing, or gets in.
#ifndef XLSTORE_RECOVERY_BASE_ALONE_HPP_
#define XLSTORE_RECOVERY_BASE_ALONE_HPP_

#include <string>

#include "store/lock/locks.hpp"

namespace xlstore::recovery {

struct Alone {
    Locks locks;
    ByteLock writer;
    ByteLock sessions;
};

/// Tries until `until`. Errors: busy, naming those that have it open; store (no lock files).
Result<Alone> be_alone(const std::string& directory, Deadline until);

/// The writer lock of a store that is not open. Errors: timeout, naming its holder.
Result<ByteLock> take_writer_lock(const Locks& locks, Deadline until);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_BASE_ALONE_HPP_
