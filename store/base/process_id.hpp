// SPDX-License-Identifier: MIT
// A process by what no other one has (R11). A pid alone is a number in one pid namespace, of one
// boot, and is used again; store/os/process.hpp finds out about the process.
#ifndef XLSTORE_STORE_BASE_PROCESS_ID_HPP_
#define XLSTORE_STORE_BASE_PROCESS_ID_HPP_

#include <cstdint>
#include <string>

namespace xlstore {

/// One process of one boot. Comparable, and nothing in it is a secret or changes while it lives
/// (not even by exec).
struct ProcessId {
    std::int64_t pid = 0;
    std::uint64_t start_time = 0;     ///< clock ticks since boot: field 22 of /proc/PID/stat
    std::string boot_id;              ///< /proc/sys/kernel/random/boot_id
    std::uint64_t pid_namespace = 0;  ///< inode of the namespace in which `pid` is a number

    friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_BASE_PROCESS_ID_HPP_
