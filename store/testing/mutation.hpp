// SPDX-License-Identifier: MIT
// Do the tests notice a missing guard? A special build disables one guard of the protocol: the one
// that XLSTORE_DISABLE_GUARD names in the environment (tests/crash/mutants.py). In every other
// build the condition is false at compile time, and no guard can be disabled. A mutation that needs
// more than a condition is a patch to a copy of the source (tests/crash/mutants).
#ifndef XLSTORE_STORE_TESTING_MUTATION_HPP_
#define XLSTORE_STORE_TESTING_MUTATION_HPP_

#ifdef XLSTORE_MUTATIONS
#include <cstdlib>
#include <string_view>

namespace xlstore {
inline bool is_disabled(std::string_view guard) noexcept
{
    const char* named = std::getenv("XLSTORE_DISABLE_GUARD");
    return named && named == guard;
}
}  // namespace xlstore
#define XLSTORE_MUTATION(guard) ::xlstore::is_disabled(guard)
#else
#define XLSTORE_MUTATION(guard) false
#endif

#endif  // XLSTORE_STORE_TESTING_MUTATION_HPP_
