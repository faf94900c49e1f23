// SPDX-License-Identifier: MIT
// Which processes keep a byte-range lock alive, by the kernel's word: /proc/PID/fdinfo tells the
// locks of each descriptor, those of open file descriptions too, which /proc/locks has no pid for.
// A lock lives as long as any copy of its descriptor, so there may be several.
#ifndef XLSTORE_STORE_LOCK_LOCK_HOLDERS_HPP_
#define XLSTORE_STORE_LOCK_LOCK_HOLDERS_HPP_

#include <cstdint>
#include <string>
#include <vector>

#include "store/event/loop.hpp"
#include "store/lock/lock_file.hpp"
#include "store/os/open_files.hpp"
#include "store/os/process.hpp"

namespace xlstore {

using LockHolder = NamedProcess;

/// The process that a claim names; REQUIRES a claim of this boot, as that of a lock that is held
/// is.
[[nodiscard]] ProcessId process_of(const Claim& claim);
/// The claim for messages, and whether the process that made it is stopped now.
[[nodiscard]] std::string describe_holder(const Claim& claim);

/// Bytes of a file, and the locks on them that count.
struct LockedBytes {
    std::int64_t first;
    std::int64_t last;
    bool exclusive_alone = false;  ///< read locks do not count
};

/// Processes with a lock on one of these bytes of the file at `path`, ascending.
/// Opens nothing but files of /proc: closing a file of SQLite's would drop SQLite's locks. Those
/// that /proc hides from us are missing.
[[nodiscard]] std::vector<LockHolder> lock_holders(const std::string& path, FileIdentity file,
                                                   std::int64_t first, std::int64_t last);
/// The same in pieces, so that the loop is not kept.
Task<std::vector<LockHolder>> find_lock_holders(Loop& loop, std::string path, FileIdentity file,
                                                LockedBytes bytes);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LOCK_LOCK_HOLDERS_HPP_
