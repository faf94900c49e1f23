// SPDX-License-Identifier: MIT
// The manual's entry of a problem, for --explain. The page itself (tools/man/xlfsck.8) is the only
// source: it is compiled in, and the macros that its entries use are made plain text here.
#ifndef XLSTORE_TOOLS_XLFSCK_MANUAL_HPP_
#define XLSTORE_TOOLS_XLFSCK_MANUAL_HPP_

#include <string>
#include <string_view>

#include "recovery/base/problem.hpp"

namespace xlstore::tools {

/// The whole page, in mdoc(7).
extern const std::string_view kManual;

/// "4002 intent_done", then the entry's sentences, a line each source line joined and wrapped at
/// `width` columns. "" if the page has no entry for it.
[[nodiscard]] std::string manual_entry(recovery::Code code, std::size_t width = 78);

/// A line of mdoc(7) source as plain text: `.Dq is damaged .` gives `"is damaged".`
[[nodiscard]] std::string plain_line(std::string_view line);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLFSCK_MANUAL_HPP_
