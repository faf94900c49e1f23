// SPDX-License-Identifier: MIT
// Text from outside (QEMU's words, a caller's program name, what an embedder calls evidence) made
// fit to be stored and shown: valid UTF-8 on one line, without what steers a terminal. It passes
// through here where it enters the store, so that all that reads the store may rely on it: --json
// is JSON, SQL's json functions work, no table is torn. Pure functions; any thread.
#ifndef XLSTORE_STORE_TEXT_PLAIN_TEXT_HPP_
#define XLSTORE_STORE_TEXT_PLAIN_TEXT_HPP_

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace xlstore {

struct Character {
    std::size_t size;              ///< in bytes; 1 if they are not UTF-8
    std::optional<char32_t> code;  ///< nothing: not UTF-8 (cut, overlong, a surrogate)
};
/// The first character of a text that is not empty.
[[nodiscard]] Character first_character(std::string_view text);

/// False for what moves the cursor, hides text or turns its direction round.
[[nodiscard]] bool is_printed(char32_t code);

/// Appends the bytes as \xNN.
void append_escaped(std::string& text, std::string_view bytes);

/// At most `bytes_max` bytes of `untrusted` (at least 3), cut between two characters; then three
/// dots, within the bound, are the end of it. Control and formatting characters and bytes that are
/// not UTF-8 become \xNN. What is plain and short enough comes back as it is, so that a text may
/// pass several times.
[[nodiscard]] std::string plain_text(std::string_view untrusted, std::size_t bytes_max);
/// Would it come back as it is, for certain: printable ASCII, and short enough?
[[nodiscard]] bool is_plain_text(std::string_view text, std::size_t bytes_max) noexcept;
/// The same with a NUL behind it in a buffer of at least 4 bytes. Needs no memory.
void write_plain_text(std::span<char> to, std::string_view untrusted) noexcept;

/// The longest beginning of at most `bytes_max` bytes that does not end within a character.
[[nodiscard]] std::string_view whole_characters(std::string_view text,
                                                std::size_t bytes_max) noexcept;

}  // namespace xlstore

#endif  // XLSTORE_STORE_TEXT_PLAIN_TEXT_HPP_
