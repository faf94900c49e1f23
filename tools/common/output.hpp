// SPDX-License-Identifier: MIT
// What both tools print: errors in one manner, and text from outside. Results go to standard
// output, messages to standard error.
#ifndef XLSTORE_TOOLS_COMMON_OUTPUT_HPP_
#define XLSTORE_TOOLS_COMMON_OUTPUT_HPP_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/base/error.hpp"

namespace xlstore::tools {

/// Exit status of `xlstore`. `unwritten`: it was done, and the answer could not be written.
enum class Status { done = 0, refused = 1, usage = 2, in_doubt = 3, not_found = 4, unwritten = 5 };
[[nodiscard]] Status status_of(const Error& error);

/// A reader of our output that has gone ends no operation, nor does a file that would grow beyond
/// the limit of the process (ulimit -f): the write fails, and that is all.
void fail_at_writes();

/// "xlstore: message" and a line of advice.
void print_error(std::string_view program, const Error& error);

/// Opens what is closed of the three standard descriptors, so that no file of the store gets such a
/// number and is written into. Writing to one that was closed fails. Call it first of all.
void hold_standard_descriptors();
/// A umask that takes rights away from the owner itself takes none: what is made here is opened
/// again, by this process and others of its user.
void keep_owners_rights();
/// Writes out what standard output holds back. Why some of it could not be written (disk full,
/// nothing reads the pipe), now or earlier; nothing: all of it was.
[[nodiscard]] std::optional<std::string> output_trouble();

/// Text from outside (names, QEMU's words in evidence) without control characters.
[[nodiscard]] std::string plain(std::string_view text);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_OUTPUT_HPP_
