// SPDX-License-Identifier: MIT
// What a QEMU that the library starts carries in its environment, as XLSTORE_DOMAIN, for a store
// that is lost: whose it is. By it xlfsck --rebuild gives it a domain again. It is text and proves
// nothing (R11): that this process is the QEMU at the monitor is proved otherwise.
#ifndef XLSTORE_STORE_LIFECYCLE_CREATION_NOTE_HPP_
#define XLSTORE_STORE_LIFECYCLE_CREATION_NOTE_HPP_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace xlstore {

struct CreationNote {
    std::int64_t domid = 0;
    std::string uuid;  ///< in lower case
    std::string name;  ///< as it was at the creation
};

/// "XLSTORE_DOMAIN=DOMID UUID NAME", for the environment of the child.
[[nodiscard]] std::string environment_with_note(const CreationNote& note);

/// The last such entry of an environment, as /proc/PID/environ has it; nothing: none, or not
/// written that way.
[[nodiscard]] std::optional<CreationNote> read_creation_note(std::string_view environment);

/// That of a process; nothing also when its environment cannot be read.
[[nodiscard]] std::optional<CreationNote> creation_note_of(pid_t pid);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_CREATION_NOTE_HPP_
