// SPDX-License-Identifier: MIT
// Most JSON that is read is plain: ASCII, without escapes, of small objects. Such a text is checked
// and minified here in one walk; json_minify() leaves all else to a parser. Pure; any thread.
#ifndef XLSTORE_STORE_TEXT_JSON_PLAIN_HPP_
#define XLSTORE_STORE_TEXT_JSON_PLAIN_HPP_

#include <optional>
#include <string>
#include <string_view>

namespace xlstore {

/// What json_minify() makes of `text`. Nothing: it is not plain, or no JSON; which of the two is
/// not said.
[[nodiscard]] std::optional<std::string> minify_plain(std::string_view text);

}  // namespace xlstore

#endif  // XLSTORE_STORE_TEXT_JSON_PLAIN_HPP_
