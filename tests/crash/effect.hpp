// SPDX-License-Identifier: MIT
// What a system call can change. With --skip-pure a stop is not counted when a kill there leaves
// the world outside the process as a kill at a counted stop next to it does. What counts is the
// world *after* the death: the kernel closes descriptors, ends mappings and drops locks of the
// dead, so that closing a file is nothing, while taking a lock is kept (others may have seen it).
//
//   nothing   changes nothing outside. Neither stop is counted.
//   wait      the same, but others act meanwhile. Neither stop is counted, the next one is.
//   files     changes what only looks different once it has run: the file system, a lock. Its exit
//             is counted. Its entry is the last counted stop over again, and is counted only if
//             others may have acted since that one.
//   peers     another process may react to it: a socket, a pipe, a process. Both stops are
//             counted, and so is the next one after it.
#ifndef XLSTORE_TESTS_CRASH_EFFECT_HPP_
#define XLSTORE_TESTS_CRASH_EFFECT_HPP_

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <set>
#include <string>

namespace killer {

// What is not in the table is `peers`.
enum class Effect { nothing, wait, files, peers };

struct Call {
    pid_t group = 0;
    long number = -1;
    std::array<std::uint64_t, 6> args{};
};

// Pipes that the command made after its last fork and has not sent away: no other process has an
// end of them. (Sanitizers ask the kernel through such a pipe whether memory can be read.)
extern std::set<std::string> g_private_pipes;

struct Row {
    long number;
    const char* name;
    Effect effect;
    Effect (*decide)(const Call&) = nullptr;  // by its arguments, instead of `effect`
    int path = -1;                            // which argument names a file, for the record
    int fd = -1;                              // which argument is a descriptor
    int data = -1;                            // which argument points to bytes sent
};

/// The call in the table; none when it is not there.
const Row* row_of(long number);
Effect effect_of(const Call& call);

/// What a descriptor of the group is; "" when that cannot be said.
std::string fd_target(pid_t group, std::uint64_t fd);

}  // namespace killer

#endif  // XLSTORE_TESTS_CRASH_EFFECT_HPP_
