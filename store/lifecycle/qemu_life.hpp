// SPDX-License-Identifier: MIT
// Whether the QEMU of a row lives, for those who only look: rows say what was committed, and a QEMU
// may have died since. Asks the kernel alone (R11), no QEMU: some ten microseconds a domain. Takes
// no lock; any thread.
#ifndef XLSTORE_STORE_LIFECYCLE_QEMU_LIFE_HPP_
#define XLSTORE_STORE_LIFECYCLE_QEMU_LIFE_HPP_

#include <cstdint>
#include <string>
#include <string_view>

#include "store/core/domain.hpp"

namespace xlstore {

struct QemuLife {
    enum class Seen {
        none,    ///< the row has no QEMU
        alive,
        dead,    ///< proved
        unseen,  ///< could not look; `why`
    };
    Seen seen = Seen::none;
    std::int64_t at_us = 0;  ///< when, microseconds since 1970 UTC
    std::string why;

    /// "QEMU dead (looked at 12:03:04 UTC)", "no QEMU", "could not look: why (looked at ...)".
    [[nodiscard]] std::string text() const;
};

/// @throws IoError when this host's own boot id or pid namespace cannot be read.
[[nodiscard]] QemuLife qemu_life_of(const DomainRow& domain);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_QEMU_LIFE_HPP_
