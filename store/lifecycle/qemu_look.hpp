// SPDX-License-Identifier: MIT
// What the QEMU of a row is doing now, for those who only look: the kernel says whether it lives,
// and its monitor is asked one question. Nothing in QEMU or in the store is changed.
#ifndef XLSTORE_STORE_LIFECYCLE_QEMU_LOOK_HPP_
#define XLSTORE_STORE_LIFECYCLE_QEMU_LOOK_HPP_

#include <chrono>
#include <string>
#include <vector>

#include "store/core/store.hpp"
#include "store/event/task.hpp"
#include "store/lifecycle/qemu_life.hpp"

namespace xlstore {

struct QemuLook {
    enum class Answer {
        none,      ///< no QEMU that lives was there to be asked; `life` has why
        answered,  ///< `run_state`
        silent,    ///< its monitor did not answer in time, or broke the protocol; `why`
        busy,      ///< another process is at work on the domain, and has its slow lock; `why`
        unasked,   ///< this process may not take the lock that asking needs; `why`
    };
    QemuLife life;
    Answer answer = Answer::none;
    std::string run_state;  ///< QEMU's word ("running", "paused"), printable
    std::string why;
    bool stopped = false;  ///< the process is stopped by a signal or a debugger

    /// "running", "paused", "QEMU dead", "does not answer", "stopped by a signal": a few words.
    [[nodiscard]] std::string doing() const;
};

/// What each domain is given unless a caller says otherwise.
inline constexpr std::chrono::milliseconds kLookTimeout{2'000};

/// Looks at each of `domains`, side by side, for at most `each` (R20). The slow lock is taken in
/// shared mode and never waited for: who holds it is named (`busy`). Writes nothing.
Task<std::vector<QemuLook>> look_at_qemus(Store& store, std::vector<DomainRow> domains,
                                          std::chrono::milliseconds each);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_QEMU_LOOK_HPP_
