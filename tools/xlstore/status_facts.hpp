// SPDX-License-Identifier: MIT
// What 'xlstore status' looks at: rows, QEMUs, locks, files and units, each asked now. The page,
// the metrics, 'watch' and --json say the same because they are made of this.
#ifndef XLSTORE_TOOLS_XLSTORE_STATUS_FACTS_HPP_
#define XLSTORE_TOOLS_XLSTORE_STATUS_FACTS_HPP_

#include <string>

#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

/// One JSON object; tools/json-schema/status.json describes it. Each QEMU is given 2 s, or
/// --timeout; all are asked side by side. Where arguments.words name a domain: of that one alone.
/// Writes nothing. Errors: of the calls that ask.
Result<std::string> status_facts(const Arguments& arguments, xlstore_store* store);
/// The same with what QEMUs answered before: `looks`, a JSON array of domains as
/// xlstore_look_at_qemus() gives them, or some of them. QEMUs are not asked.
Result<std::string> status_facts_with(const std::string& looks, const Arguments& arguments,
                                      xlstore_store* store);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLSTORE_STATUS_FACTS_HPP_
