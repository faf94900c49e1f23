// SPDX-License-Identifier: MIT
// A byte 0x80 to 0xff that is no part of UTF-8 becomes the escape of the low surrogate 0xdc80 to
// 0xdcff. Going back, an escape counts as such a byte only where no high surrogate stands before
// it: a pair is a character of its own. Text that is UTF-8 throughout, the usual case, is passed
// over once and left alone.
#include "store/text/raw_bytes.hpp"

#include <algorithm>
#include <charconv>

#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

constexpr std::uint32_t kFirst = 0xDC80;  // stands for 0x80
constexpr std::uint32_t kLast = 0xDCFF;
constexpr std::size_t kEscapeSize = 6;  // \udcff
constexpr char32_t kReplacement = 0xFFFD;

/// The code of the escape that begins at `at`; nothing: none begins there.
std::optional<std::uint32_t> escaped_code(std::string_view json, std::size_t at)
{
    if (json.size() < at + kEscapeSize || json[at] != '\\' || json[at + 1] != 'u')
        return std::nullopt;
    std::uint32_t code = 0;
    const char* begin = json.data() + at + 2;
    const auto [end, error] = std::from_chars(begin, begin + 4, code, 16);
    if (error != std::errc() || end != begin + 4) return std::nullopt;
    return code;
}

bool is_high(std::optional<std::uint32_t> code)
{
    return code && *code >= 0xD800 && *code < 0xDC00;
}

bool is_low(std::optional<std::uint32_t> code)
{
    return code && *code >= 0xDC00 && *code < 0xE000;
}

/// Calls `visit` with the place and the code of each escape that is no half of a pair.
template <class Visit>
void for_each_escaped_code(std::string_view json, Visit visit)
{
    for (std::size_t at = json.find('\\'); at < json.size(); at = json.find('\\', at)) {
        const auto code = escaped_code(json, at);
        if (is_high(code) && is_low(escaped_code(json, at + kEscapeSize))) {
            at += 2 * kEscapeSize;
            continue;
        }
        if (code) visit(at, *code);
        at += code ? kEscapeSize : 2;
    }
}

/// Calls `visit` with the place of each escape that stands for a byte.
template <class Visit>
void for_each_raw_byte(std::string_view json, Visit visit)
{
    for_each_escaped_code(json, [&](std::size_t at, std::uint32_t code) {
        if (raw_byte_of(code)) visit(at);
    });
}

/// What is not UTF-8, and what is printed for it, as one character each time.
std::u32string in_outline(std::string_view text)
{
    std::u32string outline;
    for (std::size_t at = 0; at < text.size();) {
        const Character character = first_character(text.substr(at));
        const char32_t code = character.code.value_or(kReplacement);
        if (code != kReplacement || outline.empty() || outline.back() != kReplacement)
            outline += code;
        at += character.size;
    }
    return outline;
}

}  // namespace

bool is_utf8(std::string_view text)
{
    for (std::size_t at = 0; at < text.size();) {
        if (static_cast<unsigned char>(text[at]) < 0x80) {
            ++at;
            continue;
        }
        const Character character = first_character(text.substr(at));
        if (!character.code) return false;
        at += character.size;
    }
    return true;
}

std::optional<char> raw_byte_of(std::uint32_t code)
{
    if (code < kFirst || code > kLast) return std::nullopt;
    return static_cast<char>(code - kFirst + 0x80);
}

void append_raw_byte(std::string& text, char byte)
{
    constexpr std::string_view digits = "0123456789abcdef";
    const auto value = static_cast<unsigned char>(byte);
    text += "\\udc";
    text += digits[value >> 4U];
    text += digits[value & 15U];
}

std::string with_raw_bytes_escaped(std::string_view json)
{
    if (is_utf8(json)) return std::string(json);
    std::string text;
    bool in_string = false;
    for (std::size_t at = 0; at < json.size();) {
        const Character character = first_character(json.substr(at));
        std::string_view bytes = json.substr(at, character.size);
        if (!character.code && in_string) {
            append_raw_byte(text, json[at]);
            ++at;
            continue;
        }
        if (bytes == "\"") in_string = !in_string;
        if (in_string && bytes == "\\") bytes = json.substr(at, 2);  // never escapes such a byte
        text += bytes;
        at += bytes.size();
    }
    return text;
}

std::string with_raw_bytes_masked(std::string_view json)
{
    std::string masked(json);
    for_each_raw_byte(json, [&masked](std::size_t at) { masked.replace(at + 2, 2, "f7"); });
    return masked;
}

bool holds_masked_byte(std::string_view decoded)
{
    while (!decoded.empty()) {
        const Character character = first_character(decoded);
        if (character.code && *character.code >= 0xF780 && *character.code <= 0xF7FF) return true;
        decoded.remove_prefix(character.size);
    }
    return false;
}

std::string with_raw_bytes_shown(std::string_view json)
{
    const std::string escaped = with_raw_bytes_escaped(json);
    std::string shown;
    std::size_t done = 0;
    for_each_escaped_code(escaped, [&](std::size_t at, std::uint32_t code) {
        if (!is_high(code) && !is_low(code)) return;
        shown.append(escaped, done, at - done);
        if (const auto raw = raw_byte_of(code)) {
            shown += '\\';  // JSON's escape of the backslash that follows
            append_escaped(shown, std::string_view(&*raw, 1));
        } else {
            shown += "\\ufffd";
        }
        done = at + kEscapeSize;
    });
    return shown.append(escaped, done);
}

bool holds_raw_bytes(std::string_view json)
{
    bool found = false;
    for_each_raw_byte(json, [&found](std::size_t) { found = true; });
    return found;
}

bool may_be_printed_as(std::string_view name, std::string_view said)
{
    return in_outline(name) == in_outline(said);
}

}  // namespace xlstore
