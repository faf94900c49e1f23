// SPDX-License-Identifier: MIT
// Asking a living QEMU which image of a thing it shows. Absence is only ever concluded from an
// answer that could have named the thing; silence and nonsense prove nothing.
#ifndef XLSTORE_STORE_PROBE_HPP_
#define XLSTORE_STORE_PROBE_HPP_

#include <string>

#include "store/intent.hpp"
#include "store/qmp/monitor.hpp"

namespace xlstore {

/// Asks what `probe` names and says what that proves for an operation of kind `verb`.
/// An error of the monitor is evidence without an image.
Task<Evidence> look(qmp::Monitor& monitor, Verb verb, Probe probe, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_PROBE_HPP_
