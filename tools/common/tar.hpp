// SPDX-License-Identifier: MIT
// A tar archive (ustar) of a few regular files, so that a bundle opens with what every host has.
#ifndef XLSTORE_TOOLS_COMMON_TAR_HPP_
#define XLSTORE_TOOLS_COMMON_TAR_HPP_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/base/error.hpp"

namespace xlstore::tools {

using TarMember = std::pair<std::string, std::string>;  ///< name, bytes

/// The archive. Names have at most 100 bytes; mode 0600, owner 0, the time `seconds` since 1970.
[[nodiscard]] std::string tar_of(const std::vector<TarMember>& members, std::int64_t seconds);
/// The regular files of an archive by name; what else is in it is passed over. Error invalid: it is
/// cut off, or no tar archive.
[[nodiscard]] Result<std::map<std::string, std::string>> untar(std::string_view archive);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_TAR_HPP_
