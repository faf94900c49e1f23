// SPDX-License-Identifier: MIT
// A program that is run to its end: started, waited for on the loop, and killed with all that it
// started in its session if it is not through in time.
#ifndef XLSTORE_STORE_OS_PROGRAM_HPP_
#define XLSTORE_STORE_OS_PROGRAM_HPP_

#include <sys/types.h>

#include <functional>
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

/// The value of a variable in the environment of a process; nothing: it has none of that name.
using VariableOf = std::function<std::optional<std::string_view>(std::string_view name)>;
/// A living program that run_program() of this user's has started, here or in another process: the
/// leader of its session, whose command line has the word that `named` takes from its
/// environment. By the environment alone it is not told: what a program leaves behind has that,
/// too. Nothing: there is none that can be seen.
[[nodiscard]] std::optional<pid_t> find_program(
    const std::function<std::optional<std::string_view>(const VariableOf&)>& named);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_PROGRAM_HPP_
