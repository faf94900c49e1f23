// SPDX-License-Identifier: MIT
// Passwords and keys, taken out of what leaves a host: a bundle, a push to a fleet.
#ifndef XLSTORE_TOOLS_COMMON_SECRETS_HPP_
#define XLSTORE_TOOLS_COMMON_SECRETS_HPP_

#include <string>
#include <string_view>

namespace xlstore::tools {

/// What stands in place of a secret. `mark`: "(removed)"; a URI keeps its user. `null`: what can be
/// imported again: a member becomes null, which libxl takes for "not given", and a URI loses
/// "user:password@"; other text has the mark.
enum class InPlace { mark, null };

/// `text` without secrets; JSON stays JSON, each other token spelled as it was, and what holds none
/// stays as it is, to the byte. Taken out are
/// - members whose name has a word for a password, passphrase, secret, credential, token or key in
///   it (`passwd` of VNC and SPICE, ...), but for booleans, null and "";
/// - `data` of a QEMU `secret` object: beside its qom-type, below `props`, and in the options of a
///   command line (`secret,id=a,data=...`);
/// - what follows the same names in other text (NAME=, NAME:, --NAME), and in an array behind an
///   argument of such a name; Ceph's key in "rbd:...:key=". Where a quote is not closed, all that
///   follows;
/// - the password in each URI, also one with "/" in it, unless it could be a port.
/// JSON is looked for inside strings and other text, too (`json:{...}`, a plan). Deterministic;
/// once more changes nothing.
[[nodiscard]] std::string without_secrets(std::string_view text, InPlace place = InPlace::mark);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_SECRETS_HPP_
