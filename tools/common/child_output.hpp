// SPDX-License-Identifier: MIT
// What another program says, within a time.
#ifndef XLSTORE_TOOLS_COMMON_CHILD_OUTPUT_HPP_
#define XLSTORE_TOOLS_COMMON_CHILD_OUTPUT_HPP_

#include <chrono>
#include <string>
#include <vector>

#include "store/base/error.hpp"

namespace xlstore::tools {

struct ChildOutput {
    std::string text;     ///< what it wrote to standard output
    int status = -1;      ///< its exit status; -1: it was killed
    bool in_time = true;  ///< false: it was killed at `until`, and `text` is what it wrote before
};

/// Runs `words[0]` (a path, or a name that $PATH has) with empty input; its errors go where ours
/// go. Waits until it ends; at `until` it is killed. What it says beyond `bytes_max` is dropped.
/// Error io: it could not be started.
Result<ChildOutput> output_of(const std::vector<std::string>& words,
                              std::chrono::steady_clock::time_point until, std::size_t bytes_max);

/// The path of a program that is installed with this one: beside it, or in sbin beside its bin;
/// else `name` alone, which $PATH may have.
[[nodiscard]] std::string program_beside(const std::string& name);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_CHILD_OUTPUT_HPP_
