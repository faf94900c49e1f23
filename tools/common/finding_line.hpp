// SPDX-License-Identifier: MIT
// A finding of recovery as a line of text: the same for xlfsck, its questions, 'xlstore recover'
// and 'xlstore restore'.
#ifndef XLSTORE_TOOLS_COMMON_FINDING_LINE_HPP_
#define XLSTORE_TOOLS_COMMON_FINDING_LINE_HPP_

#include <string>

#include "recovery/base/check.hpp"
#include "xlstore/recovery.h"

namespace xlstore::tools {

/// "domain 7 (web): disks/hdc: QEMU has only a part of it (what was seen)": no full stop.
[[nodiscard]] std::string statement_of(const recovery::Problem& about,
                                       const recovery::Subject& subject);
/// That as a sentence, and what became of it: "… (what was seen).  ADOPTED." Not yet printable: see
/// plain().
[[nodiscard]] std::string finding_line(const recovery::Finding& finding);
/// The same of a finding that came through the C interface.
[[nodiscard]] std::string finding_line(const xlstore_finding& finding);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_FINDING_LINE_HPP_
