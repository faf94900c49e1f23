// SPDX-License-Identifier: MIT
// Who listens at a socket of the file system.
#ifndef XLSTORE_STORE_LISTENER_HPP_
#define XLSTORE_STORE_LISTENER_HPP_

#include <sys/types.h>

#include <optional>
#include <string>

namespace xlstore {

/// A pid; 0 when somebody listens who cannot be asked now; nothing: nobody does. Connects, and
/// sends nothing. It proves nothing about who the process is (R11). @throws IoError
[[nodiscard]] std::optional<pid_t> who_listens(const std::string& path);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LISTENER_HPP_
