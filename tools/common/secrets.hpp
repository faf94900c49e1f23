// SPDX-License-Identifier: MIT
// Passwords and keys, taken out of what leaves a host: a bundle, a push to a fleet.
#ifndef XLSTORE_TOOLS_COMMON_SECRETS_HPP_
#define XLSTORE_TOOLS_COMMON_SECRETS_HPP_

#include <string>
#include <string_view>

namespace xlstore::tools {

/// What stands in place of a secret. `mark`: "(removed)"; a URI keeps its user. `null`: what can be
/// imported again: a member becomes null, which libxl takes for "not given", and a URI with a
/// password loses "user:password@"; other text has the mark. Quotes around a secret stay.
enum class InPlace { mark, null };

/// `text` without secrets; JSON stays JSON, each other token spelled as it was, and what holds none
/// stays as it is, to the byte. Taken out are
/// - members whose name has a word for a password, passphrase, secret, credential, token or key in
///   it (`passwd` of VNC and SPICE, ...), but for booleans, null and "", and for the ids of QEMU's
///   secret objects (`key-secret`); and values beside such a name ("target":"password","arg":...);
/// - `data` of a QEMU `secret` object: beside its qom-type, below `props`, in the options of a
///   command line (`secret,id=a,data=...`), and in qom-set;
/// - what follows the same names in other text: NAME=, --NAME, and in an array behind an argument
///   of such a name. An element of an array is one argument, whose values only a comma ends; else a
///   blank ends one. Behind NAME: a quoted value, or one word that no sentence goes on behind, but
///   for passwords, whose first word it is. Not "on", "off" or $PWD. Where a quote is not closed,
///   all that follows;
/// - HMP's "set_password vnc X" and "change vnc password X", systemd's credentials in SMBIOS and
///   fw_cfg, Ceph's key in "rbd:...:key=";
/// - the password in each URI, also one with "/" in it, unless it could be a port; one with a blank
///   or a quote in it, if it is short.
/// JSON is looked for inside strings and other text, too (`json:{...}`, a plan). Not seen are
/// secrets that nothing names: "the password is X", "curl -u me:X". Deterministic; once more
/// changes nothing; the time grows as the text does.
[[nodiscard]] std::string without_secrets(std::string_view text, InPlace place = InPlace::mark);
/// The same of a JSON value that stands apart from its `name`: all of it, if that names a secret.
[[nodiscard]] std::string without_secret_of(std::string_view name, std::string_view text,
                                            InPlace place = InPlace::mark);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_SECRETS_HPP_
