// SPDX-License-Identifier: MIT
// The small text files of /proc. Any thread.
#ifndef XLSTORE_STORE_OS_PROC_TEXT_HPP_
#define XLSTORE_STORE_OS_PROC_TEXT_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/fd.hpp"

namespace xlstore {

/// What is left to read of `fd`; nothing, with errno, if it cannot be read.
[[nodiscard]] std::optional<std::string> read_to_end(const Fd& fd);
/// The whole of a file; nothing, with errno, if it cannot be read.
[[nodiscard]] std::optional<std::string> read_proc_file(const char* path);

/// "/proc/7/stat".
[[nodiscard]] std::string proc_path(std::int64_t pid, const char* file);

/// A field, from 3 on, of a line of /proc/PID/stat. Nothing: it has not so many.
[[nodiscard]] std::optional<std::string_view> field_of(std::string_view stat, int wanted);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_PROC_TEXT_HPP_
