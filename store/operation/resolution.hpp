// SPDX-License-Identifier: MIT
// What becomes of an intent that was left open, as QEMU's answers tell it. The engine acts on it,
// and recovery names it before it asks (pass 4): both decide by the functions here.
#ifndef XLSTORE_STORE_OPERATION_RESOLUTION_HPP_
#define XLSTORE_STORE_OPERATION_RESOLUTION_HPP_

#include <string>
#include <vector>

#include "store/event/loop.hpp"
#include "store/event/task.hpp"
#include "store/model/intent.hpp"
#include "store/qmp/monitor.hpp"

namespace xlstore {

enum class Resolution {
    done,       ///< the thing is as the intent wanted it: settled
    undone,     ///< it is as it was before: settled
    emptied,    ///< the drive is empty: settled
    overtaken,  ///< closed as not done: what is there is neither image, and stays (overtaken.hpp)
    waits,      ///< the guest has been asked to let go and still has it: open
    stuck,      ///< some of it is there and could not be taken out: open
    in_doubt,   ///< nothing is proved: open
};
struct Resolved {
    Resolution resolution;
    std::string reason;
    [[nodiscard]] bool open() const noexcept { return resolution >= Resolution::waits; }
};

/// What the plans of `intents` (one, or a batch) make together: a batch is settled as one.
[[nodiscard]] Probe probe_of(const std::vector<Intent>& intents);

/// What QEMU shows of `intents`, and what of it the guest has been asked for. Of those of an older
/// state (R17) nothing is half done: where some of their products are there they are overtaken, and
/// descriptor sets are left to QEMU. Sends nothing but queries. `intents` must outlive the task.
Task<Evidence> probe_intents(qmp::Monitor& monitor, const std::vector<Intent>& intents,
                             Deadline until);

/// Is there something to undo first? Some of it is in QEMU and its guest has not been asked for it,
/// or waiting alone would not end it.
[[nodiscard]] bool is_half_done(const std::vector<Intent>& intents, const Evidence& found);

/// What `found` proves, where nothing is undone any more.
[[nodiscard]] Resolution resolution_of(const Evidence& found);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_RESOLUTION_HPP_
