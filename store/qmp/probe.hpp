// SPDX-License-Identifier: MIT
// Asking a living QEMU which image of a thing it shows. Absence is only ever concluded from an
// answer that could have named the thing; silence and nonsense prove nothing.
#ifndef XLSTORE_STORE_QMP_PROBE_HPP_
#define XLSTORE_STORE_QMP_PROBE_HPP_

#include <string>
#include <vector>

#include "store/model/intent.hpp"
#include "store/qmp/monitor.hpp"

namespace xlstore {

/// Asks what `probe` names and says what that proves for an operation of kind `verb`.
/// An error of the monitor is evidence without an image. For a removal QEMU is always asked, since
/// the guest may let go at any time; what an add or a change looks for may be answered by a list
/// that QEMU gave earlier over the same connection and that still stands (store/qmp/listing.hpp).
Task<Evidence> run_probe(qmp::Monitor& monitor, Verb verb, Probe probe, Deadline until);

/// What run_probe() asks of the names in `probe`, each kind once, in its order.
[[nodiscard]] std::vector<qmp::Question> questions_of(const Probe& probe);

}  // namespace xlstore

#endif  // XLSTORE_STORE_QMP_PROBE_HPP_
