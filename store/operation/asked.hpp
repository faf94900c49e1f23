// SPDX-License-Identifier: MIT
// What a guest has been asked for and may do at any time: to let go of devices, or to open a tray.
// A tray is no product, but waited for like one.
#ifndef XLSTORE_STORE_OPERATION_ASKED_HPP_
#define XLSTORE_STORE_OPERATION_ASKED_HPP_

#include <vector>

#include "store/model/intent.hpp"

namespace xlstore {

/// Stands for the tray of the drive that `probe` looks at. REQUIRES that it looks at one.
[[nodiscard]] Product tray_of(const Probe& probe);
/// What the guest was asked for on behalf of `intents` (one, or a batch).
[[nodiscard]] std::vector<Product> asked_of(const std::vector<Intent>& intents);
/// What of `asked` is in QEMU yet; of a tray, the medium that was to leave it.
[[nodiscard]] std::vector<Product> still_there(const std::vector<Product>& asked,
                                               const Evidence& found);

/// The guest has been asked to let go of one of their devices (to remove it, or to undo an add),
/// has not yet, and has others that it was never asked for: waiting alone would not end it.
[[nodiscard]] bool has_more_to_ask(const std::vector<Intent>& intents, const Evidence& found);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_ASKED_HPP_
