// SPDX-License-Identifier: MIT
// JSON kept as text. A stored document must come back byte for byte, and a DOM loses the spelling
// of numbers (1.50, 2^64, -0) and takes duplicate keys silently. So text is checked once, by
// json_minify, and from then on cut, compared and put together as text; no function here makes a
// number of a token but json_integer and json_get_integer. Pure functions; any thread.
#ifndef XLSTORE_STORE_TEXT_JSON_TEXT_HPP_
#define XLSTORE_STORE_TEXT_JSON_TEXT_HPP_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"
#include "store/base/limits.hpp"

namespace xlstore {

/// Checks `text` (one JSON value, RFC 8259, UTF-8 without BOM but for bytes in strings that are no
/// keys, which become escapes: see store/text/raw_bytes.hpp; no duplicate key, no deeper than
/// limits::json_depth_max, no more than limits::json_members_max members in the objects around any
/// place, no larger than `bytes_max`) and returns it without insignificant white
/// space; every other token is spelled as it came. One NUL at the very end is ignored, for libxl
/// stores strlen + 1 bytes; the result never holds a NUL byte (a string may still say "\u0000").
/// `what` names the text in errors ("document web.json").
/// Errors: invalid, with line:column (both from 1, the column in bytes) except for the size.
Result<std::string> json_minify(std::string_view text, std::string_view what,
                                std::size_t bytes_max = limits::document_bytes_max);

// All of the following REQUIRE text that came out of json_minify, or a value or member cut from
// it. Given anything else they stay within its bounds, but what they return means nothing. Views
// that are returned point into the argument.

enum class JsonType { null, boolean, number, string, array, object };

/// One member of an object.
struct JsonMember {
    std::string key;            ///< decoded
    std::string_view key_text;  ///< with its quotes, as spelled
    std::string_view value;
};

[[nodiscard]] JsonType json_type(std::string_view text);

/// The members of an object, in order; nothing for any other type.
[[nodiscard]] std::vector<JsonMember> json_members(std::string_view object_text);

/// The elements of an array, in order, but no more than the first `most`; nothing for any other
/// type.
[[nodiscard]] std::vector<std::string_view> json_elements(
    std::string_view array_text, std::size_t most = std::string_view::npos);

/// The value of the member whose decoded key is `key`.
[[nodiscard]] std::optional<std::string_view> json_find(std::string_view object_text,
                                                        std::string_view key);

/// The content of a string token, in UTF-8 but for bytes that were not. It may hold NUL
/// ("\u0000").
[[nodiscard]] std::string json_decode_string(std::string_view string_text);

/// Makes a string token of `content` with the escapes that yajl uses, and those of raw_bytes.hpp;
/// what is to be read by people passes plain_text() before.
[[nodiscard]] std::string json_quote(std::string_view content);

/// `utf8` quoted for a message: bounded, and without control characters of any kind, so that text
/// from outside can neither flood nor steer a terminal.
[[nodiscard]] std::string json_shown(std::string_view utf8);

/// The value of an integer token that fits; nothing for 1.0, 1e2, 2^63 or another type.
[[nodiscard]] std::optional<std::int64_t> json_integer(std::string_view text);

/// The content of a member that is a string; nothing if it is absent or of another type.
[[nodiscard]] std::optional<std::string> json_get_string(std::string_view object_text,
                                                         std::string_view key);

/// The value of a member as by json_integer; nothing also if it is absent.
[[nodiscard]] std::optional<std::int64_t> json_get_integer(std::string_view object_text,
                                                           std::string_view key);

/// `object_text` with member `key` set to `value_text` (minified too): replaced where it stands,
/// its key as spelled, or appended.
[[nodiscard]] std::string json_with_member(std::string_view object_text, std::string_view key,
                                           std::string_view value_text);

/// `object_text` without member `key`; unchanged if there is none.
[[nodiscard]] std::string json_without_member(std::string_view object_text, std::string_view key);

/// Text that ought to be JSON as a value of an answer: as it is, or a string of it where damage has
/// made it none, so that the answer stays JSON.
[[nodiscard]] std::string json_or_string(std::string_view text);

/// A JSON object of members whose values are JSON already.
[[nodiscard]] std::string json_object(
    const std::vector<std::pair<std::string, std::string>>& members);

/// Whether two values have the same content: the order of members does not matter, strings are
/// compared decoded, numbers by spelling (1.0 is not 1).
[[nodiscard]] bool json_equal(std::string_view a, std::string_view b);

/// Which of libxl's two libraries printed a text: yajl (to 4.20) or json-c (4.21 and later); of
/// json-c whether it is 0.18 or later, which differs in what is empty.
enum class JsonLayout { yajl, json_c, json_c_18 };
/// As the store has it, in two columns: the library, and whether it leaves an empty object on its
/// line.
[[nodiscard]] std::string_view layout_name(JsonLayout layout) noexcept;
[[nodiscard]] bool layout_is_tight(JsonLayout layout) noexcept;
[[nodiscard]] JsonLayout layout_of(std::string_view name, bool tight) noexcept;

/// The layout of `source`, a text as it came (not minified), told by the first member of the
/// object and by what is empty. yajl, or the earlier json-c, when in doubt.
[[nodiscard]] JsonLayout json_detect_layout(std::string_view source);

/// Prints a value as libxl would with that library. yajl: 4 spaces, `"key": value`, a blank line
/// inside empty objects and arrays, a newline at the end. json-c (JSON_C_TO_STRING_PRETTY):
/// 2 spaces, `"key":value`, `\/` for a slash, none at the end, and a newline inside empty ones
/// before 0.18.
/// Strings get that library's escapes, and the bytes that they had; numbers keep their spelling.
[[nodiscard]] std::string json_pretty(std::string_view minified, JsonLayout layout);

}  // namespace xlstore

#endif  // XLSTORE_STORE_TEXT_JSON_TEXT_HPP_
