// SPDX-License-Identifier: MIT
// A timeline as one self-contained page: a picture (SVG) and, below it, the same as a table.
#ifndef XLSTORE_TOOLS_XLSTORE_TIMELINE_HTML_HPP_
#define XLSTORE_TOOLS_XLSTORE_TIMELINE_HTML_HPP_

#include <string>

#include "tools/xlstore/timeline_events.hpp"

namespace xlstore::tools {

/// Well-formed XML that is HTML, too. It loads nothing, runs no script, follows the reader's choice
/// of light or dark, and prints on white. Each event of the picture is a link to its row, so that a
/// keyboard and a screen reader get there; no meaning is in a colour alone. Pure.
[[nodiscard]] std::string timeline_html(const Timeline& timeline);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLSTORE_TIMELINE_HTML_HPP_
