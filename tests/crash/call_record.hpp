// SPDX-License-Identifier: MIT
// A system call as text, for --record, and the memory of the process that makes it.
#ifndef XLSTORE_TESTS_CRASH_CALL_RECORD_HPP_
#define XLSTORE_TESTS_CRASH_CALL_RECORD_HPP_

#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/crash/effect.hpp"

namespace killer {

/// Memory of a traced process; "" when it is not there.
std::string tracee_bytes(pid_t group, std::uint64_t address, std::size_t length);
/// "sendmsg fd 6 socket:[123] "{...}"". REQUIRES that the call is at its entry.
std::string describe(const Call& call);

}  // namespace killer

#endif  // XLSTORE_TESTS_CRASH_CALL_RECORD_HPP_
