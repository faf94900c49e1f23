// SPDX-License-Identifier: MIT
// Answers of the fleet's database on standard output: a table, or with --json
// an array of objects.
#ifndef XLSTORE_TOOLS_FLEET_ROWS_HPP_
#define XLSTORE_TOOLS_FLEET_ROWS_HPP_

#include <string>

#include "tools/fleet/verbs.hpp"

namespace xlstore::fleet {

/// Runs `sql`, which may only read. Errors: invalid (the statement), refused,
/// io.
Result<Status> print_query(const Arguments& arguments, const std::string& sql);

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_ROWS_HPP_
