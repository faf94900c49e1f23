// SPDX-License-Identifier: MIT
// What a guest, a peer or a file says ends up on terminals and in log files. Escaped are
// control characters, those that change the direction or are invisible, and bytes that are not
// UTF-8: each is written as \xNN. A text that is too long is cut at a whole character, with dots.
#include "store/text/plain_text.hpp"

#include <algorithm>
#include <array>

namespace xlstore {

namespace {

struct CodePoints {
    char32_t first;
    char32_t last;
};

constexpr std::array kNotPrinted = {
    CodePoints{0x00, 0x1F},     CodePoints{0x7F, 0x9F},       CodePoints{0xAD, 0xAD},
    CodePoints{0x61C, 0x61C},   CodePoints{0x180E, 0x180E},   CodePoints{0x200B, 0x200F},
    CodePoints{0x2028, 0x202E}, CodePoints{0x2060, 0x206F},   CodePoints{0xFEFF, 0xFEFF},
    CodePoints{0xFFF9, 0xFFFB}, CodePoints{0xE0000, 0xE0FFF},
};
constexpr std::string_view kDots = "...";
constexpr std::size_t kCharacterBytesMax = 4;

// As much of a string as is needed here, in a buffer of the caller's.
class TextWithin {
public:
    explicit TextWithin(std::span<char> room) noexcept : room_(room) {}
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::string_view view() const noexcept { return {room_.data(), size_}; }
    void resize(std::size_t size) noexcept { size_ = size; }
    TextWithin& operator+=(char c) noexcept
    {
        room_[size_++] = c;
        return *this;
    }
    TextWithin& operator+=(std::string_view bytes) noexcept
    {
        for (const char c : bytes)
            *this += c;
        return *this;
    }

private:
    std::span<char> room_;
    std::size_t size_ = 0;
};

template <class Text>
void append_bytes_escaped(Text& text, std::string_view bytes)
{
    constexpr std::string_view digits = "0123456789abcdef";
    for (const char c : bytes) {
        text += std::string_view("\\x");
        text += digits[static_cast<unsigned char>(c) >> 4U];
        text += digits[static_cast<unsigned char>(c) & 15U];
    }
}

// `text` is empty, and gets at most `bytes_max` bytes.
template <class Text>
void append_plain(Text& text, std::string_view untrusted, std::size_t bytes_max)
{
    constexpr std::size_t escape = 4;
    std::array<char, escape * kCharacterBytesMax> room;
    std::size_t room_for_dots = 0;  // the longest beginning that the dots fit behind
    for (std::size_t at = 0; at < untrusted.size();) {
        const Character character = first_character(untrusted.substr(at));
        const std::string_view bytes = untrusted.substr(at, character.size);
        TextWithin piece(room);
        if (character.code && is_printed(*character.code))
            piece += bytes;
        else
            append_bytes_escaped(piece, bytes);
        if (text.size() + piece.size() > bytes_max) {
            text.resize(room_for_dots);
            text += kDots;
            return;
        }
        text += piece.view();
        if (text.size() + kDots.size() <= bytes_max) room_for_dots = text.size();
        at += character.size;
    }
}

}  // namespace

Character first_character(std::string_view text)
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80) return {1, lead};
    const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC0 || lead > 0xF4 || text.size() < size) return {1, std::nullopt};
    char32_t code = lead & (0x7FU >> size);
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xC0U) != 0x80) return {1, std::nullopt};
        code = code << 6U | (byte(i) & 0x3FU);
    }
    constexpr std::array<char32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    if (code < kSmallest[size] || code > 0x10FFFF || surrogate) return {1, std::nullopt};
    return {size, code};
}

bool is_printed(char32_t code)
{
    for (const auto& range : kNotPrinted)
        if (code >= range.first && code <= range.last) return false;
    return true;
}

void append_escaped(std::string& text, std::string_view bytes)
{
    append_bytes_escaped(text, bytes);
}

bool is_plain_text(std::string_view text, std::size_t bytes_max) noexcept
{
    return text.size() <= bytes_max &&
           std::ranges::all_of(text, [](char c) { return c >= ' ' && c < '\x7f'; });
}

std::string plain_text(std::string_view untrusted, std::size_t bytes_max)
{
    // Most texts are such, and a hold writes a dozen of them.
    if (is_plain_text(untrusted, bytes_max)) return std::string(untrusted);
    std::string text;
    append_plain(text, untrusted, bytes_max);
    return text;
}

void write_plain_text(std::span<char> to, std::string_view untrusted) noexcept
{
    TextWithin text(to);
    append_plain(text, untrusted, to.size() - 1);
    text += '\0';
}

std::string_view whole_characters(std::string_view text, std::size_t bytes_max) noexcept
{
    if (text.size() <= bytes_max) return text;
    const auto goes_on = [&](std::size_t at) {
        return (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80;
    };
    std::size_t size = bytes_max;
    while (size > 0 && bytes_max - size < kCharacterBytesMax - 1 && goes_on(size))
        --size;
    return text.substr(0, goes_on(size) ? bytes_max : size);  // what is not UTF-8 has no characters
}

}  // namespace xlstore
