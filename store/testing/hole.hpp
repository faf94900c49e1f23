// SPDX-License-Identifier: MIT
// The proof of the proof: a build in which one guard of the protocol can be left out, named by
// XLSTORE_LEAVE_OUT in the environment, so that the tests are seen to notice
// (tests/crash/holes.py). In every other build nothing can be left out, and the condition is no
// code.
#ifndef XLSTORE_STORE_TESTING_HOLE_HPP_
#define XLSTORE_STORE_TESTING_HOLE_HPP_

#ifdef XLSTORE_HOLES
#include <cstdlib>
#include <string_view>

namespace xlstore {
inline bool left_out(std::string_view guard) noexcept
{
    const char* named = std::getenv("XLSTORE_LEAVE_OUT");
    return named && named == guard;
}
}  // namespace xlstore
#define XLSTORE_LEFT_OUT(guard) ::xlstore::left_out(guard)
#else
#define XLSTORE_LEFT_OUT(guard) false
#endif

#endif  // XLSTORE_STORE_TESTING_HOLE_HPP_
