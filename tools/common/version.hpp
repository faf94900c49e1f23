// SPDX-License-Identifier: MIT
// --version: what the report of a fault has to name.
#ifndef XLSTORE_TOOLS_COMMON_VERSION_HPP_
#define XLSTORE_TOOLS_COMMON_VERSION_HPP_

#include <string>
#include <string_view>

namespace xlstore::tools {

/// `program` with the release, the version of the schema, SQLite's (that of the library that is
/// loaded), and QEMU's: the first that is found in $PATH or where Xen has its own, asked with
/// --version. A line each, without the last line feed; or one JSON object.
[[nodiscard]] std::string version_text(std::string_view program, bool json);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_VERSION_HPP_
