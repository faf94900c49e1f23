// SPDX-License-Identifier: MIT
// The files of a store, looked at before anything is opened: what they are, whose, who else could
// write or read them, and that their file system holds locks. Opens none of them.
#ifndef XLSTORE_STORE_CORE_STORE_FILES_HPP_
#define XLSTORE_STORE_CORE_STORE_FILES_HPP_

#include <sys/stat.h>

#include <memory>
#include <string>

#include "store/base/error.hpp"
#include "store/base/log.hpp"

namespace xlstore {

/// Error store.
[[nodiscard]] Error unusable(const std::string& what, const std::string& advice);

/// It is there, a directory or a regular file, and no symbolic link. Error store.
Result<struct stat> look_at(const std::string& path, bool directory);
/// Error store: `directory` is a symbolic link. One that is not there is none.
Result<void> check_no_link(const std::string& directory);
/// Besides: no other user may write there, and none but the reading group read. `writing`: it is
/// ours. REQUIRES the directory of a store, or a file in it: the advice is to change its mode.
/// Error store.
Result<void> check_entry(const std::string& path, bool directory, bool writing);
/// Error store: a file system where byte-range locks do not hold.
Result<void> check_file_system(const std::string& directory);

/// All that a store consists of. `writing`: a lock file that is missing is made anew, once no
/// process has the store open. Errors: store, with what is wrong and what to do; busy, naming those
/// that have it open.
Result<void> check_files(const std::string& directory, bool writing,
                         const std::shared_ptr<const Log>& log);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_STORE_FILES_HPP_
