// SPDX-License-Identifier: MIT
// JSON that the library and stores give, as values; and JSON on standard output. Texts in it may be
// not UTF-8 (store/text/raw_bytes.hpp): a path is any bytes, and a row may have been written by
// hand. The parser refuses such a text, and printed as it is it would be no JSON: all that reads or
// prints JSON does it through here, so that no answer is lost for one.
#ifndef XLSTORE_TOOLS_COMMON_JSON_VALUE_HPP_
#define XLSTORE_TOOLS_COMMON_JSON_VALUE_HPP_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace xlstore::tools {

using Json = nlohmann::ordered_json;

/// For people: what is not UTF-8 is \xNN in its strings, as plain() has it. Throws
/// nlohmann::json::exception for what is no JSON otherwise.
[[nodiscard]] Json json_value(std::string_view json);

/// A value as JSON, on one line if `indent` is negative. What is not UTF-8 becomes U+FFFD.
[[nodiscard]] std::string json_text(const Json& value, int indent = -1);

/// JSON on a line of standard output, every byte as it is or as its escape: none steers a terminal.
void print_json(std::string_view json);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_JSON_VALUE_HPP_
