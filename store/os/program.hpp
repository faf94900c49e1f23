// SPDX-License-Identifier: MIT
// A program that is run to its end: started, waited for on the loop, and killed with all that it
// started in its session if it is not through in time.
#ifndef XLSTORE_STORE_OS_PROGRAM_HPP_
#define XLSTORE_STORE_OS_PROGRAM_HPP_

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "store/base/error.hpp"
#include "store/event/loop.hpp"
#include "store/event/task.hpp"
#include "store/os/spawn.hpp"

namespace xlstore {

/// Runs it, and returns when its process has ended with status 0. Processes that it left behind go
/// on. It lives on if the caller dies; a caller that is cancelled kills it.
/// Errors: refused (it could not be run, or ended otherwise; the message says how), timeout (it was
/// killed: it was not through by the deadline), invalid, io.
Task<Result<void>> run_program(Loop& loop, SpawnRequest request, Deadline until);

/// A living process whose environment has `mark` ("NAME=VALUE"), and whose command line has the
/// word that its environment's `variable` names: by both, because what a program leaves behind has
/// its environment. Nothing: there is none that can be seen.
[[nodiscard]] std::optional<pid_t> find_program(std::string_view mark, std::string_view variable);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_PROGRAM_HPP_
