// SPDX-License-Identifier: MIT
// What the store says of a domain's devices, held against what xenstore has of them. Pure: what is
// found, and what would put it right, follows from rows and one snapshot of the tree, so that it
// can be decided a second time under the lock before anything is written.
//
// What is no finding: the console and the keyboard that libxl makes of its own accord; the front
// end of a guest, by itself; an entry whose intent is open; a device of QEMU's that pass 5 has
// asked QEMU about, unless xenstore tells of it what QEMU does not show.
#ifndef XLSTORE_RECOVERY_PASSES_XENSTORE_SURVEY_HPP_
#define XLSTORE_RECOVERY_PASSES_XENSTORE_SURVEY_HPP_

#include <vector>

#include "recovery/passes/xenstore_finding.hpp"
#include "store/xenstore/tree.hpp"

namespace xlstore::recovery {

[[nodiscard]] std::vector<XenstoreFinding> compare(const XenstoreSurvey& survey,
                                                   const xenstore::Tree& tree);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_PASSES_XENSTORE_SURVEY_HPP_
