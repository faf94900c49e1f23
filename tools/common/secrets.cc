// SPDX-License-Identifier: MIT
// Text is cut and put together as text, so that numbers keep their spelling.
#include "tools/common/secrets.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "store/text/json_text.hpp"

namespace xlstore::tools {

namespace {

constexpr std::string_view kMark = "(removed)";
constexpr std::array<std::string_view, 10> kWords = {
    "passw", "passphrase",  "secret", "credential", "token",
    "pwd",   "private_key", "apikey", "api_key",    "cookie"};
// An "{" that begins no JSON costs a look at all that follows it: only so many are tried.
constexpr int kFalseStartsMax = 64;

// In lower case, with "_" for "-".
std::string folded(std::string_view text)
{
    std::string out(text);
    std::ranges::transform(out, out.begin(), [](unsigned char c) {
        return c == '-' ? '_' : static_cast<char>(std::tolower(c));
    });
    return out;
}

bool has_a_word(const std::string& name)
{
    return std::ranges::any_of(
        kWords, [&](std::string_view word) { return name.find(word) != std::string::npos; });
}

bool names_a_secret(std::string_view name)
{
    const auto fold = folded(name);
    return fold == "ticket" || has_a_word(fold);
}

// What a text has that holds a secret: a word, the "@" of a login, Ceph's options, or an escape,
// which may spell any of it.
constexpr auto kSigns = [] {
    std::array<std::string_view, kWords.size() + 5> signs = {"ticket", "@", "rbd:", "\\u", "qom"};
    std::copy(kWords.begin(), kWords.end(), signs.begin() + 5);
    return signs;
}();
// Of bytes that are no ASCII 0.
constexpr auto kFolded = [] {
    std::array<unsigned char, 256> folds{};
    for (unsigned c = 0; c < 128; ++c)
        folds[c] = static_cast<unsigned char>(c == '-'               ? '_'
                                              : c >= 'A' && c <= 'Z' ? c - 'A' + 'a'
                                                                     : c);
    return folds;
}();
constexpr std::size_t pair_of(unsigned char first, unsigned char second)
{
    return static_cast<std::size_t>(first) * 128 + second;
}
// Which two begin a sign, the second of one of one byte being any.
constexpr auto kBeginSign = [] {
    std::array<bool, std::size_t{128} * 128> begin{};
    for (const auto sign : kSigns)
        for (unsigned char second = 0; second < 128; ++second)
            if (sign.size() == 1 || static_cast<unsigned char>(sign[1]) == second)
                begin[pair_of(static_cast<unsigned char>(sign[0]), second)] = true;
    return begin;
}();

bool begins_with_a_sign(std::string_view text)
{
    return std::ranges::any_of(kSigns, [&](std::string_view sign) {
        return text.size() >= sign.size() && folded(text.substr(0, sign.size())) == sign;
    });
}

// Most texts have nothing of all that: they are looked through once, by pairs of bytes, and not
// taken apart.
bool may_hold_secrets(std::string_view text)
{
    const auto* const folds = kFolded.data();
    const auto* const begin_sign = kBeginSign.data();
    const char* const end = text.data() + text.size();
    unsigned char next = text.empty() ? 0 : folds[static_cast<unsigned char>(text.front())];
    for (const char* at = text.data(); at != end; ++at) {
        const unsigned char first = next;
        next = at + 1 == end ? 0 : folds[static_cast<unsigned char>(at[1])];
        if (begin_sign[pair_of(first, next)] &&
            begins_with_a_sign({at, static_cast<std::size_t>(end - at)}))
            return true;
    }
    return false;
}

bool is_space(char c)
{
    return std::isspace(static_cast<unsigned char>(c)) != 0;
}

bool is_name(char c)
{
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
}

// Where the login of the URI whose authority begins at `begin` ends ("@"); npos: it has none.
std::size_t end_of_login(std::string_view text, std::size_t begin)
{
    const auto end = std::min(text.find_first_of(" \"'\\\n\t<>", begin), text.size());
    const auto uri = text.substr(0, end);
    const auto authority = uri.substr(0, std::min(uri.find_first_of("/?#", begin), end));
    const auto sign = authority.rfind('@');
    if (sign != std::string_view::npos && sign >= begin) return sign;
    // "me:pass/word@host", but neither "host:80/a@b" nor "[::1]:80/a@b".
    const auto colon = authority.find(':', begin);
    if (colon == std::string_view::npos || authority[begin] == '[') return std::string_view::npos;
    const auto port = authority.substr(colon + 1);
    if (std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; }))
        return std::string_view::npos;
    const auto last = uri.rfind('@');
    return last != std::string_view::npos && last > begin ? last : std::string_view::npos;
}

void hide_in_uris(std::string& text, InPlace place)
{
    for (auto at = text.find("://"); at != std::string::npos; at = text.find("://", at + 3)) {
        const auto begin = at + 3;
        const auto sign = end_of_login(text, begin);
        if (sign == std::string::npos) continue;
        const auto colon = text.find_first_of(":%", begin);  // libiscsi: user%password
        if (place == InPlace::null)
            text.erase(begin, sign + 1 - begin);
        else if (colon < sign && sign > colon + 1)
            text.replace(colon + 1, sign - colon - 1, kMark);
    }
}

// Does "NAME=" that begins at `start` hold a secret? Its option list is the word that it is in.
bool assigns_a_secret(std::string_view text, std::size_t start, std::string_view name)
{
    if (names_a_secret(name)) return true;
    const auto before = text.substr(0, start);
    const auto space = before.find_last_of(" \t\n\"'");
    const auto list = before.substr(space == std::string_view::npos ? 0 : space + 1);
    if (name == "key") return list.find("rbd:") != std::string_view::npos && list.ends_with(':');
    return name == "data" && list.find("secret") != std::string_view::npos;
}

// Where the value at `at` ends: a quoted one behind its quote; QEMU doubles a comma that is part of
// one.
std::size_t end_of_value(std::string_view text, std::size_t at, std::string_view stops)
{
    if (at < text.size() && (text[at] == '\'' || text[at] == '"')) {
        const auto quote = text.find(text[at], at + 1);
        if (quote != std::string_view::npos) return quote + 1;
    }
    for (; at < text.size(); ++at) {
        const char c = text[at];
        if (is_space(c) || c == '"' || c == '\'' || stops.find(c) != std::string_view::npos) break;
        if (c == '\\' && at + 1 < text.size() && text[at + 1] == '"') break;
        if (c != ',') continue;
        if (at + 1 == text.size() || text[at + 1] != ',') break;
        ++at;
    }
    return at;
}

// "password=abc,": from behind "=" to the end of the value.
void hide_assignments(std::string& text)
{
    for (auto at = text.find('='); at != std::string::npos; at = text.find('=', at + 1)) {
        auto stop = at;
        while (stop > 0 && text[stop - 1] == ' ')
            --stop;
        auto start = stop;
        while (start > 0 && is_name(text[start - 1]))
            --start;
        const auto name = text.substr(start, stop - start);
        if (name.empty() || !assigns_a_secret(text, start, name)) continue;
        auto begin = at + 1;
        while (stop < at && begin < text.size() && text[begin] == ' ')
            ++begin;
        const auto space = text.find_last_of(" \t\n\"'", start);
        const auto word = space == std::string::npos ? 0 : space + 1;
        const auto* stops = text.find("rbd:", word) < start ? ":"
                            : text.find('?', word) < start  ? "&;"
                                                            : "";
        const auto end = end_of_value(text, begin, stops);
        if (end > begin) text.replace(begin, end - begin, kMark);
    }
}

// "passwd": "abc" in what is no whole JSON: evidence may be cut off.
void hide_quoted(std::string& text)
{
    const bool of_secret = text.find("qom") != std::string::npos;
    for (auto at = text.find("\":"); at != std::string::npos; at = text.find("\":", at + 1)) {
        auto start = at;
        while (start > 0 && is_name(text[start - 1]))
            --start;
        const auto name = text.substr(start, at - start);
        if (!names_a_secret(name) && !(of_secret && name == "data")) continue;
        auto begin = at + 2;
        while (begin < text.size() && is_space(text[begin]))
            ++begin;
        if (begin >= text.size() || text[begin] != '"') continue;
        auto end = ++begin;
        while (end < text.size() && text[end] != '"')
            end += text[end] == '\\' ? 2 : 1;
        end = std::min(end, text.size());
        if (end > begin) text.replace(begin, end - begin, kMark);
    }
}

std::string of_plain(std::string text, InPlace place)
{
    hide_in_uris(text, place);
    hide_assignments(text);
    hide_quoted(text);
    return text;
}

// Behind the bracket that closes the one at `at`; npos: none does.
std::size_t end_of_object(std::string_view text, std::size_t at)
{
    int depth = 0;
    bool quoted = false;
    for (; at < text.size(); ++at) {
        const char c = text[at];
        if (quoted && c == '\\')
            ++at;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && c == '{')
            ++depth;
        else if (!quoted && c == '}' && --depth == 0)
            return at + 1;
    }
    return std::string_view::npos;
}

std::string of_json(std::string_view json, InPlace place, bool of_secret);

std::string of_object(std::string_view json, InPlace place, bool of_secret)
{
    const auto members = json_members(json);
    of_secret = of_secret || std::ranges::any_of(members, [](const JsonMember& m) {
                    return folded(m.key) == "qom_type" && json_type(m.value) == JsonType::string &&
                           json_decode_string(m.value).starts_with("secret");
                });
    std::string out = "{";
    for (const auto& member : members) {
        const auto type = json_type(member.value);
        const bool hidden = (names_a_secret(member.key) || (of_secret && member.key == "data")) &&
                            type != JsonType::boolean && type != JsonType::null &&
                            member.value != "\"\"";
        out += (out.size() > 1 ? "," : "") + std::string(member.key_text) + ":";
        if (hidden)
            out += place == InPlace::null ? "null" : json_quote(kMark);
        else
            out += of_json(member.value, place, of_secret && member.key == "props");
    }
    return out + "}";
}

std::string of_json(std::string_view json, InPlace place, bool of_secret)
{
    switch (json_type(json)) {
    case JsonType::object:
        return of_object(json, place, of_secret);
    case JsonType::array: {
        std::string out = "[";
        for (const auto element : json_elements(json))
            out += (out.size() > 1 ? "," : "") + of_json(element, place, false);
        return out + "]";
    }
    case JsonType::string: {
        const auto text = json_decode_string(json);
        const auto clean = without_secrets(text, place);
        return clean == text ? std::string(json) : json_quote(clean);
    }
    default:
        return std::string(json);
    }
}

// Nothing: it is no JSON.
std::optional<std::string> of_whole(std::string_view text, InPlace place)
{
    const auto json = json_minify(text, "text", std::string_view::npos);
    if (!json) return std::nullopt;
    auto clean = of_json(*json, place, false);
    return clean == *json ? std::string(text) : std::move(clean);
}

}  // namespace

std::string without_secrets(std::string_view text, InPlace place)
{
    if (!may_hold_secrets(text)) return std::string(text);
    const auto first = text.find_first_not_of(" \n\t");
    if (first != std::string_view::npos && (text[first] == '{' || text[first] == '['))
        if (auto clean = of_whole(text, place)) return *std::move(clean);
    // Other text: the objects in it, and what stands between them.
    std::string out;
    std::size_t done = 0;
    int false_starts = 0;
    for (auto at = text.find('{'); at != std::string_view::npos && false_starts < kFalseStartsMax;
         at = text.find('{', at)) {
        const auto end = end_of_object(text, at);
        auto clean = end == std::string_view::npos ? std::nullopt
                                                   : of_whole(text.substr(at, end - at), place);
        if (!clean) {
            ++false_starts;
            ++at;
            continue;
        }
        out += of_plain(std::string(text.substr(done, at - done)), place) + *clean;
        done = at = end;
    }
    return out + of_plain(std::string(text.substr(done)), place);
}

}  // namespace xlstore::tools
