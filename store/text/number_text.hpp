// SPDX-License-Identifier: MIT
// Numbers and words as the kernel's files, our own small files and a user's arguments have them.
#ifndef XLSTORE_STORE_TEXT_NUMBER_TEXT_HPP_
#define XLSTORE_STORE_TEXT_NUMBER_TEXT_HPP_

#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>

namespace xlstore {

/// The number in base `kBase` that the whole of `word` is; nothing if it has any other character (a
/// leading '+', "0x" or space too), or the number does not fit.
template <std::integral Number, int kBase = 10>
[[nodiscard]] std::optional<Number> parse_number(std::string_view word) noexcept
{
    Number number = 0;
    const auto [end, error] =
        std::from_chars(word.data(), word.data() + word.size(), number, kBase);
    if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
    return number;
}

template <std::integral Number>
[[nodiscard]] std::optional<Number> parse_hex(std::string_view word) noexcept
{
    return parse_number<Number, 16>(word);
}

/// The same into `number`, which stays as it is when the result is false.
template <std::integral Number>
[[nodiscard]] bool parse_number(std::string_view word, Number& number) noexcept
{
    const auto parsed = parse_number<Number>(word);
    if (parsed) number = *parsed;
    return parsed.has_value();
}

/// Cuts the first word, and the one space behind it, off the front of `text`.
inline std::string_view next_word(std::string_view& text) noexcept
{
    const auto end = text.find(' ');
    const auto word = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return word;
}

}  // namespace xlstore

#endif
