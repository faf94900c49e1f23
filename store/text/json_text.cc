// SPDX-License-Identifier: MIT
// Text that was checked (json_check.cc) is walked by brackets and quotes alone, to find a member,
// cut it out, or put another in its place, so that every other byte stays as it was. Every function
// checks its bounds all the same: a row of the database may have been written by hand.
#include "store/text/json_text.hpp"

#include <algorithm>
#include <cassert>
#include <charconv>

#include "store/text/json_scan.hpp"
#include "store/text/number_text.hpp"
#include "store/text/plain_text.hpp"
#include "store/text/raw_bytes.hpp"

namespace xlstore {

namespace {

constexpr std::size_t kShownBytesMax = 64;
constexpr std::string_view kUpperHex = "0123456789ABCDEF";
constexpr std::string_view kLowerHex = "0123456789abcdef";

// The characters with an escape of one letter, and the letters in the same order.
constexpr std::string_view kEscaped = "\"\\/\b\f\n\r\t";
constexpr std::string_view kEscapeLetters = "\"\\/bfnrt";

// ---- Scanning ----

char at(std::string_view text, std::size_t offset)
{
    return offset < text.size() ? text[offset] : '\0';
}

/// The offset behind the value that begins at `begin`.
std::size_t skip_value(std::string_view text, std::size_t begin)
{
    std::size_t depth = 0;
    std::size_t i = begin;
    while (i < text.size()) {
        const char c = text[i];
        if (c == '"') {
            i = skip_string(text, i);
            if (depth == 0) return i;
            continue;
        }
        if (depth == 0 && i > begin && (c == ',' || c == ']' || c == '}')) return i;
        if (c == '{' || c == '[') ++depth;
        if ((c == '}' || c == ']') && (depth <= 1 || --depth == 0)) return i + 1;
        ++i;
    }
    return text.size();
}

/// A member by offsets, without the cost of decoding its key.
struct MemberSpan {
    std::size_t key_begin;
    std::size_t value_begin;
    std::size_t value_end;
};

/// Calls `visit(MemberSpan)` for each member until it returns false.
template <class Visit>
void for_each_member(std::string_view object_text, Visit visit)
{
    if (at(object_text, 0) != '{') return;
    std::size_t i = 1;
    while (at(object_text, i) == '"') {
        const std::size_t value_begin = skip_string(object_text, i) + 1;
        if (value_begin >= object_text.size()) return;
        const std::size_t value_end = skip_value(object_text, value_begin);
        if (!visit(MemberSpan{i, value_begin, value_end})) return;
        i = value_end + 1;
    }
}

std::string_view key_text_of(std::string_view object_text, const MemberSpan& span)
{
    return object_text.substr(span.key_begin, span.value_begin - 1 - span.key_begin);
}

bool string_is(std::string_view string_text, std::string_view content)
{
    if (string_text.find('\\') != std::string_view::npos)
        return json_decode_string(string_text) == content;
    return string_text.size() == content.size() + 2 &&
           string_text.substr(1, content.size()) == content;
}

std::optional<MemberSpan> find_span(std::string_view object_text, std::string_view key)
{
    std::optional<MemberSpan> found;
    for_each_member(object_text, [&](const MemberSpan& span) {
        if (string_is(key_text_of(object_text, span), key)) found = span;
        return !found;
    });
    return found;
}

std::uint32_t hex4(std::string_view text, std::size_t begin)
{
    std::uint32_t value = 0;
    const std::string_view digits = text.substr(std::min(begin, text.size()), 4);
    std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return value;
}

void append_utf8(std::string& out, std::uint32_t code)
{
    const auto byte = [&out](std::uint32_t value) { out += static_cast<char>(value); };
    if (code < 0x80) {
        byte(code);
    } else if (code < 0x800) {
        byte(0xC0 | code >> 6);
        byte(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        byte(0xE0 | code >> 12);
        byte(0x80 | (code >> 6 & 0x3F));
        byte(0x80 | (code & 0x3F));
    } else {
        byte(0xF0 | code >> 18);
        byte(0x80 | (code >> 12 & 0x3F));
        byte(0x80 | (code >> 6 & 0x3F));
        byte(0x80 | (code & 0x3F));
    }
}

void append_u00(std::string& out, unsigned char c, std::string_view hex)
{
    out += "\\u00";
    out += hex[c >> 4];
    out += hex[c & 0xF];
}

/// Appends `content` as a string token. The two libraries differ in the slash and in the case of
/// hex digits; both leave DEL and all that is not ASCII as it is, UTF-8 or not.
void append_quoted(std::string& out, std::string_view content, JsonLayout layout)
{
    const bool json_c = layout != JsonLayout::yajl;
    out += '"';
    for (const char c : content) {
        const auto u = static_cast<unsigned char>(c);
        const std::size_t escape = kEscaped.find(c);
        if (escape != std::string_view::npos && (c != '/' || json_c)) {
            out += '\\';
            out += kEscapeLetters[escape];
        } else if (u < 0x20) {
            append_u00(out, u, json_c ? kLowerHex : kUpperHex);
        } else {
            out += c;
        }
    }
    out += '"';
}

/// Is there an empty object or array on one line?
bool has_tight_empty(std::string_view source)
{
    for (std::size_t i = 0; i < source.size(); ++i) {
        if (source[i] == '"') {
            i = skip_string(source, i) - 1;
            continue;
        }
        const char next = at(source, i + 1);
        if ((source[i] == '{' && next == '}') || (source[i] == '[' && next == ']')) return true;
    }
    return false;
}

bool same_content(std::string_view a, std::string_view b, std::size_t depth)
{
    if (a == b) return true;
    if (depth > limits::json_depth_max) return false;  // unchecked text
    const JsonType type = json_type(a);
    if (type != json_type(b)) return false;
    switch (type) {
    case JsonType::null:
    case JsonType::boolean:
    case JsonType::number:
        return false;
    case JsonType::string:
        return json_decode_string(a) == json_decode_string(b);
    case JsonType::array: {
        const std::vector<std::string_view> left = json_elements(a);
        const std::vector<std::string_view> right = json_elements(b);
        return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                          [depth](std::string_view x, std::string_view y) {
                              return same_content(x, y, depth + 1);
                          });
    }
    case JsonType::object: {
        std::vector<JsonMember> left = json_members(a);
        std::vector<JsonMember> right = json_members(b);
        const auto by_key = [](const JsonMember& x, const JsonMember& y) { return x.key < y.key; };
        std::sort(left.begin(), left.end(), by_key);
        std::sort(right.begin(), right.end(), by_key);
        return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                          [depth](const JsonMember& x, const JsonMember& y) {
                              return x.key == y.key && same_content(x.value, y.value, depth + 1);
                          });
    }
    }
    return false;
}

}  // namespace

JsonType json_type(std::string_view text)
{
    switch (at(text, 0)) {
    case '{':
        return JsonType::object;
    case '[':
        return JsonType::array;
    case '"':
        return JsonType::string;
    case 't':
    case 'f':
        return JsonType::boolean;
    case 'n':
        return JsonType::null;
    default:
        return JsonType::number;
    }
}

std::vector<JsonMember> json_members(std::string_view object_text)
{
    std::vector<JsonMember> members;
    for_each_member(object_text, [&](const MemberSpan& span) {
        const std::string_view key_text = key_text_of(object_text, span);
        members.push_back(
            {json_decode_string(key_text), key_text,
             object_text.substr(span.value_begin, span.value_end - span.value_begin)});
        return true;
    });
    return members;
}

std::vector<std::string_view> json_elements(std::string_view array_text, std::size_t most)
{
    std::vector<std::string_view> elements;
    if (at(array_text, 0) != '[' || at(array_text, 1) == ']') return elements;
    for (std::size_t i = 1; i < array_text.size() && elements.size() < most;) {
        const std::size_t end = skip_value(array_text, i);
        elements.push_back(array_text.substr(i, end - i));
        if (at(array_text, end) != ',') break;
        i = end + 1;
    }
    return elements;
}

std::optional<std::string_view> json_find(std::string_view object_text, std::string_view key)
{
    const std::optional<MemberSpan> span = find_span(object_text, key);
    if (!span) return std::nullopt;
    return object_text.substr(span->value_begin, span->value_end - span->value_begin);
}

std::string json_decode_string(std::string_view string_text)
{
    std::string content;
    content.reserve(string_text.size());
    for (std::size_t i = 1; i + 1 < string_text.size(); ++i) {
        if (string_text[i] != '\\') {
            content += string_text[i];
            continue;
        }
        ++i;
        if (string_text[i] != 'u') {
            const std::size_t escape = kEscapeLetters.find(string_text[i]);
            if (escape != std::string_view::npos) content += kEscaped[escape];
            continue;
        }
        std::uint32_t code = hex4(string_text, i + 1);
        i += 4;
        if (code >= 0xD800 && code < 0xDC00) {
            code = 0x10000 + ((code - 0xD800) << 10) + (hex4(string_text, i + 3) & 0x3FF);
            i += 6;
        }
        if (const std::optional<char> raw = raw_byte_of(code))
            content += *raw;
        else
            append_utf8(content, code);
    }
    return content;
}

std::string json_quote(std::string_view content)
{
    std::string out;
    out.reserve(content.size() + 2);
    append_quoted(out, content, JsonLayout::yajl);
    return with_raw_bytes_escaped(out);
}

std::string json_shown(std::string_view utf8)
{
    const bool cut = utf8.size() > kShownBytesMax;
    utf8 = whole_characters(utf8, kShownBytesMax);
    const std::string quoted = json_quote(utf8);
    std::string out;
    for (std::size_t i = 0; i < quoted.size(); ++i) {
        const auto c = static_cast<unsigned char>(quoted[i]);
        const auto next = static_cast<unsigned char>(at(quoted, i + 1));
        if (c == 0x7F) {
            append_u00(out, c, kUpperHex);
        } else if (c == 0xC2 && next >= 0x80 && next < 0xA0) {
            append_u00(out, next, kUpperHex);  // C1: U+009B alone begins a terminal sequence
            ++i;
        } else {
            out += quoted[i];
        }
    }
    if (cut) out += "...";
    return out;
}

std::optional<std::int64_t> json_integer(std::string_view text)
{
    return parse_number<std::int64_t>(text);
}

std::optional<std::string> json_get_string(std::string_view object_text, std::string_view key)
{
    const std::optional<std::string_view> value = json_find(object_text, key);
    if (!value || json_type(*value) != JsonType::string) return std::nullopt;
    return json_decode_string(*value);
}

std::optional<std::int64_t> json_get_integer(std::string_view object_text, std::string_view key)
{
    const std::optional<std::string_view> value = json_find(object_text, key);
    if (!value) return std::nullopt;
    return json_integer(*value);
}

std::string json_with_member(std::string_view object_text, std::string_view key,
                             std::string_view value_text)
{
    assert(json_type(object_text) == JsonType::object);
    std::string out;
    if (const std::optional<MemberSpan> span = find_span(object_text, key)) {
        out += object_text.substr(0, span->value_begin);
        out += value_text;
        out += object_text.substr(span->value_end);
        return out;
    }
    out += object_text.substr(0, object_text.size() - 1);
    if (out.size() > 1) out += ',';
    out += json_quote(key);
    out += ':';
    out += value_text;
    out += '}';
    return out;
}

std::string json_without_member(std::string_view object_text, std::string_view key)
{
    const std::optional<MemberSpan> span = find_span(object_text, key);
    if (!span) return std::string(object_text);
    // With the member goes one comma: the one behind it, or for the last member the one before.
    std::size_t begin = span->key_begin;
    std::size_t end = span->value_end;
    if (at(object_text, end) == ',')
        ++end;
    else if (at(object_text, begin - 1) == ',')
        --begin;
    std::string out(object_text.substr(0, begin));
    out += object_text.substr(end);
    return out;
}

std::string json_or_string(std::string_view text)
{
    auto escaped = with_raw_bytes_escaped(text);
    return json_minify(escaped, "text") ? escaped : json_quote(text);
}

std::string json_object(const std::vector<std::pair<std::string, std::string>>& members)
{
    std::string text = "{";
    for (const auto& [key, value] : members) {
        if (text.size() > 1) text += ',';
        text += json_quote(key) + ":" + value;
    }
    return text + "}";
}

bool json_equal(std::string_view a, std::string_view b)
{
    return same_content(a, b, 0);
}

std::string_view layout_name(JsonLayout layout) noexcept
{
    return layout == JsonLayout::yajl ? "yajl" : "json-c";
}

bool layout_is_tight(JsonLayout layout) noexcept
{
    return layout == JsonLayout::json_c_18;
}

JsonLayout layout_of(std::string_view name, bool tight) noexcept
{
    if (name != "json-c") return JsonLayout::yajl;
    return tight ? JsonLayout::json_c_18 : JsonLayout::json_c;
}

JsonLayout json_detect_layout(std::string_view source)
{
    // Only both together tell: many printers indent by two, and minified text has no blanks either.
    constexpr std::string_view json_c_begin = "{\n  \"";
    if (source.substr(0, json_c_begin.size()) != json_c_begin) return JsonLayout::yajl;
    const std::size_t colon = skip_string(source, json_c_begin.size() - 1);
    if (at(source, colon) != ':' || is_space(at(source, colon + 1))) return JsonLayout::yajl;
    return has_tight_empty(source) ? JsonLayout::json_c_18 : JsonLayout::json_c;
}

std::string json_pretty(std::string_view minified, JsonLayout layout)
{
    const bool yajl = layout == JsonLayout::yajl;
    const std::size_t indent = yajl ? 4 : 2;
    std::size_t depth = 0;
    std::string out;
    const auto new_line = [&] {
        out += '\n';
        // The bound is for unchecked text: its indents could fill the memory.
        out.append(std::min(depth, limits::json_depth_max) * indent, ' ');
    };
    for (std::size_t i = 0; i < minified.size(); ++i) {
        const char c = minified[i];
        switch (c) {
        case '"': {
            const std::size_t end = skip_string(minified, i);
            append_quoted(out, json_decode_string(minified.substr(i, end - i)), layout);
            i = end - 1;
            break;
        }
        case '{':
        case '[': {
            const char next = at(minified, i + 1);
            const bool empty = next == '}' || next == ']';
            out += c;
            ++depth;
            // yajl ends the line of the bracket, and then that of a first member that does not
            // come.
            if (empty && yajl) out += '\n';
            if (!empty) new_line();
            break;
        }
        case '}':
        case ']':
            if (depth > 0) --depth;
            if (!layout_is_tight(layout) || (out.back() != '{' && out.back() != '[')) new_line();
            out += c;
            break;
        case ',':
            out += c;
            new_line();
            break;
        case ':':
            out += yajl ? ": " : ":";
            break;
        default:
            out += c;
        }
    }
    if (yajl) out += '\n';
    return out;
}

}  // namespace xlstore
