// SPDX-License-Identifier: MIT
// A file that this program writes for a person: whole, or not there.
#ifndef XLSTORE_TOOLS_COMMON_WHOLE_FILE_HPP_
#define XLSTORE_TOOLS_COMMON_WHOLE_FILE_HPP_

#include <string>
#include <string_view>

#include "store/base/error.hpp"

namespace xlstore::tools {

/// What becomes of a regular file that is there already. One of another kind is left in any case.
enum class IfThere { refuse, replace };

/// Writes `path`, mode 0600, in one step: another process sees the old file, or the whole new one.
/// Errors, with nothing left of it and the old file as it was: exists, invalid (what is there is no
/// regular file), io.
Result<void> write_whole_file(const std::string& path, std::string_view bytes, IfThere if_there);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_WHOLE_FILE_HPP_
