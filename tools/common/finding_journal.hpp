// SPDX-License-Identifier: MIT
// What recovery did, and what it left in doubt, in the host's journal.
#ifndef XLSTORE_TOOLS_COMMON_FINDING_JOURNAL_HPP_
#define XLSTORE_TOOLS_COMMON_FINDING_JOURNAL_HPP_

#include <string>

#include "recovery/base/check.hpp"
#include "xlstore/recovery.h"

namespace xlstore::tools {

/// A repair (notice), one that failed (error), an intent that stays in doubt (warning); of other
/// findings nothing. Fields: XLSTORE_STORE, _CODE, _PROBLEM, _SUBJECT, _ACTION, _EVIDENCE, _DOMID,
/// _INTENT, MESSAGE_ID.
void journal_finding(const std::string& program, const std::string& store,
                     const recovery::Finding& finding);
/// The same of a finding that came through the C interface.
void journal_finding(const std::string& program, const std::string& store,
                     const xlstore_finding& finding);
/// An operation that ended in doubt, or unfinished. Fields: XLSTORE_STORE, _VERB, _INTENT.
void journal_doubt(const std::string& program, const std::string& store, const std::string& verb,
                   const Error& error);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_FINDING_JOURNAL_HPP_
