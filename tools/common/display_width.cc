// SPDX-License-Identifier: MIT
#include "tools/common/display_width.hpp"

#include <wchar.h>

#include <algorithm>
#include <clocale>

namespace xlstore::tools {

namespace {

// The process keeps the locale "C": its messages are not translated. Widths are asked in one that
// knows UTF-8, and only while they are asked.
class Utf8Locale {
public:
    Utf8Locale() : before_(uselocale(ours())) {}
    Utf8Locale(const Utf8Locale&) = delete;
    Utf8Locale& operator=(const Utf8Locale&) = delete;
    ~Utf8Locale() { uselocale(before_); }

private:
    static locale_t ours()
    {
        static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
        return locale;  // (locale_t)0, where there is none: uselocale() changes nothing
    }
    locale_t before_;
};

struct Glyph {
    std::size_t bytes;
    std::size_t columns;
};

// An escape sequence of colours ("\x1b[1;31m") at the front; 0: there is none.
std::size_t colour_bytes(std::string_view text)
{
    if (!text.starts_with("\x1b[")) return 0;
    const auto end = text.find_first_not_of("0123456789;", 2);
    return end != std::string_view::npos && text[end] == 'm' ? end + 1 : 0;
}

// REQUIRES a UTF-8 locale, and text that is not empty.
Glyph first_glyph(std::string_view text)
{
    if (const auto colour = colour_bytes(text); colour > 0) return {colour, 0};
    wchar_t code = 0;
    mbstate_t state{};
    const auto bytes = mbrtowc(&code, text.data(), text.size(), &state);
    if (bytes == 0 || bytes > text.size()) return {1, 1};
    const int columns = wcwidth(code);
    return {bytes, columns < 0 ? 1U : static_cast<std::size_t>(columns)};
}

// Bytes of the longest beginning that takes at most `columns`.
std::size_t bytes_within(std::string_view text, std::size_t columns)
{
    const Utf8Locale utf8;
    std::size_t at = 0;
    std::size_t width = 0;
    while (at < text.size()) {
        const auto glyph = first_glyph(text.substr(at));
        if (width + glyph.columns > columns) break;
        width += glyph.columns;
        at += glyph.bytes;
    }
    return at;
}

std::size_t bytes_of_first(std::string_view text)
{
    const Utf8Locale utf8;
    return first_glyph(text).bytes;
}

}  // namespace

std::size_t display_width(std::string_view text)
{
    const Utf8Locale utf8;
    std::size_t width = 0;
    for (std::size_t at = 0; at < text.size();) {
        const auto glyph = first_glyph(text.substr(at));
        width += glyph.columns;
        at += glyph.bytes;
    }
    return width;
}

std::string padded(std::string_view text, std::size_t columns)
{
    const auto width = display_width(text);
    return std::string(text) + std::string(columns > width ? columns - width : 0, ' ');
}

std::string cut_to(std::string_view text, std::size_t columns)
{
    if (display_width(text) <= columns) return std::string(text);
    if (columns == 0) return {};
    return std::string(text.substr(0, bytes_within(text, columns - 1))) + "…";
}

std::vector<std::string> wrapped(std::string_view text, std::size_t columns)
{
    columns = std::max<std::size_t>(columns, 1);
    std::vector<std::string> lines;
    while (display_width(text) > columns) {
        auto end = bytes_within(text, columns);
        if (end == 0) end = bytes_of_first(text);
        auto next = end;
        const auto blank = text[end] == ' ' ? end : text.rfind(' ', end);
        if (blank != std::string_view::npos && blank > 0) {
            end = blank;
            next = blank + 1;
        }
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(next);
    }
    if (!text.empty() || lines.empty()) lines.emplace_back(text);
    return lines;
}

}  // namespace xlstore::tools
