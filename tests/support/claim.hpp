// SPDX-License-Identifier: MIT
// What a test's own process says of itself in the slot of a lock.
#ifndef XLSTORE_TESTS_SUPPORT_CLAIM_HPP_
#define XLSTORE_TESTS_SUPPORT_CLAIM_HPP_

#include <unistd.h>

#include <string>

#include "store/lock/lock_file.hpp"

namespace xlstore::test {

inline Claim claim(const std::string& operation)
{
    return Claim{getpid(), 77, 88, 1'700'000'000'000'000, "test", operation};
}

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_CLAIM_HPP_
