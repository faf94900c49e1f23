// SPDX-License-Identifier: MIT
// What does not leave the host: passwords of VNC and SPICE, and of everything
// else that is called one; the data of QEMU's secret objects; user and password
// in a URI.
#ifndef XLSTORE_TOOLS_FLEET_SECRETS_HPP_
#define XLSTORE_TOOLS_FLEET_SECRETS_HPP_

#include <string>
#include <string_view>

namespace xlstore::fleet {

/// `json` (minified, as the store has it) with null in place of each secret;
/// every other token is spelled as it was. libxl takes a null for "not given".
[[nodiscard]] std::string without_secrets(std::string_view json);

/// "nbd://user:secret@host/disk" without "user:secret@".
[[nodiscard]] std::string without_login(std::string_view uri);

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_SECRETS_HPP_
