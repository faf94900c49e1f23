// SPDX-License-Identifier: MIT
// Bytes that are not UTF-8 in JSON. A path on Linux may have any, and libxl prints a string as it
// is; json-c reads such a text, yajl does not. So that the store is UTF-8 throughout, and its JSON
// is JSON, each such byte is kept as the escape of a lone surrogate: 0xff as \udcff. No other text
// can mean that: a lone surrogate is not a character. Pure functions; any thread.
#ifndef XLSTORE_STORE_TEXT_RAW_BYTES_HPP_
#define XLSTORE_STORE_TEXT_RAW_BYTES_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace xlstore {

[[nodiscard]] bool is_utf8(std::string_view text);

/// The byte that a lone surrogate with this code stands for; nothing: another code.
[[nodiscard]] std::optional<char> raw_byte_of(std::uint32_t code);
/// Appends the escape of a byte from 0x80 on.
void append_raw_byte(std::string& text, char byte);

/// JSON from outside with each byte in a string that is not UTF-8 escaped so; what else is wrong
/// with it stays wrong.
[[nodiscard]] std::string with_raw_bytes_escaped(std::string_view json);

/// `json` of the same length with each such escape as that of a private character, for a parser
/// that refuses lone surrogates.
[[nodiscard]] std::string with_raw_bytes_masked(std::string_view json);
/// Does a string that was decoded from masked text hold one?
[[nodiscard]] bool holds_masked_byte(std::string_view decoded);

/// JSON for people, and for a parser that refuses both such bytes and such escapes: in a string
/// each is written as \xNN, as plain_text() has it. Another lone surrogate, which a row that was
/// written by hand may have, becomes U+FFFD.
[[nodiscard]] std::string with_raw_bytes_shown(std::string_view json);

/// Does minified JSON hold such an escape? QMP has no way to say it.
[[nodiscard]] bool holds_raw_bytes(std::string_view json);

/// Could `said`, which QEMU printed, be `name`? QEMU prints U+FFFD for what is not UTF-8, and how
/// many of them depends on what it takes together.
[[nodiscard]] bool may_be_printed_as(std::string_view name, std::string_view said);

}  // namespace xlstore

#endif  // XLSTORE_STORE_TEXT_RAW_BYTES_HPP_
