// SPDX-License-Identifier: MIT
// What a store does to its own files besides reading and writing them. Any thread.
#ifndef XLSTORE_STORE_OS_FILE_UPKEEP_HPP_
#define XLSTORE_STORE_OS_FILE_UPKEEP_HPP_

#include <optional>
#include <string>

namespace xlstore {

/// Mode and, if there is one, reading group of a store's file. @throws IoError
void set_access(const std::string& path, unsigned mode, std::optional<unsigned> group);
/// Unlinks `path` + `suffix`, if it is there; allocates nothing, for destructors.
void remove_file(const std::string& path, const char* suffix) noexcept;
/// `path` with no symlink in what leads to its last part, which may be one; `path`: that leads
/// nowhere.
[[nodiscard]] std::string in_real_directory(const std::string& path);
/// So that the names in it survive a power cut. @throws IoError
void sync_directory(const std::string& path);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_FILE_UPKEEP_HPP_
