// SPDX-License-Identifier: MIT
// Which names stand before a secret.
#ifndef XLSTORE_TOOLS_COMMON_SECRET_NAMES_HPP_
#define XLSTORE_TOOLS_COMMON_SECRET_NAMES_HPP_

#include <string>
#include <string_view>

namespace xlstore::tools {

/// In lower case, with "_" for "-".
[[nodiscard]] std::string folded(std::string_view text);
/// Has it a word for a password, passphrase, secret, credential, token or key in it? Not the id of
/// a QEMU secret object (key-secret, password-secret, passwordid).
[[nodiscard]] bool names_a_secret(std::string_view name);
/// The same of the last part of a path ("/local/domain/0/backend/vfb/3/0/vncpasswd").
[[nodiscard]] bool path_names_a_secret(std::string_view path);
/// A path is the value of a shell's directory (PWD), and no secret.
[[nodiscard]] bool is_directory(std::string_view name, std::string_view value);
/// Could `text` hold any secret? Most texts have nothing of what one begins with: they are looked
/// through once, and not taken apart.
[[nodiscard]] bool may_hold_secrets(std::string_view text);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_SECRET_NAMES_HPP_
