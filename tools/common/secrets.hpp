// SPDX-License-Identifier: MIT
// Passwords and keys, taken out of what leaves a host.
#ifndef XLSTORE_TOOLS_COMMON_SECRETS_HPP_
#define XLSTORE_TOOLS_COMMON_SECRETS_HPP_

#include <string>
#include <string_view>

namespace xlstore::tools {

/// `text` without secrets; JSON stays JSON, and what holds none stays as it is, to the byte. Taken
/// out are values of members that a password, passphrase, secret, credential, token or key is
/// called (`passwd` of VNC and SPICE, ...), what follows such a word and "=" in other text (a
/// command line), and the password in a URI. Deterministic; once more changes nothing.
[[nodiscard]] std::string without_secrets(std::string_view text);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_SECRETS_HPP_
