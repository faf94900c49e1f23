// SPDX-License-Identifier: MIT
// The creation of a domain that no QEMU stands for (PV, PVH): a command makes it in Xen.
#ifndef XLSTORE_TOOLS_XLSTORE_BUILDER_HPP_
#define XLSTORE_TOOLS_XLSTORE_BUILDER_HPP_

#include <cstdint>
#include <string>

#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

/// Commits the row, runs the command, and finishes the creation. Where the command fails, xenstored
/// says what Xen has (R5, R9): no such domain, and the row is destroyed (refused); the domain, and
/// its row is kept (unfinished); no answer, and the row stays as it is for recovery (unfinished).
Result<Status> create_without_qemu(const Arguments& arguments, std::int32_t domid,
                                   const std::string& document, const std::string& things);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLSTORE_BUILDER_HPP_
