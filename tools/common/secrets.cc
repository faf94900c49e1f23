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

// What `at` is in: up to a blank or a quote.
std::size_t begin_of_word(std::string_view text, std::size_t at)
{
    const auto before = text.substr(0, at).find_last_of(" \t\n\"'");
    return before == std::string_view::npos ? 0 : before + 1;
}

bool is_of_rbd(std::string_view list)
{
    return folded(list).find("rbd:") != std::string::npos;
}

// A quote, with the backslashes that strings around it put before it.
struct Quote {
    std::size_t escapes = 0;
    char mark = 0;

    static std::optional<Quote> at(std::string_view text, std::size_t at)
    {
        const auto mark = std::min(text.find_first_not_of('\\', at), text.size());
        if (mark == text.size() || (text[mark] != '"' && text[mark] != '\'')) return std::nullopt;
        return Quote{mark - at, text[mark]};
    }
    [[nodiscard]] std::size_t size() const { return escapes + 1; }
    // Where the one that closes it begins: an escaped one belongs to the value, and so does all
    // that follows where none closes it.
    [[nodiscard]] std::size_t end_of_quoted(std::string_view text, std::size_t at) const
    {
        for (std::size_t run = 0; at < text.size(); ++at) {
            const bool is_mark = text[at] == mark;
            if (is_mark && run < escapes) return at - run;
            if (is_mark && (run - escapes) % (2 * size()) == 0) return at - escapes;
            run = text[at] == '\\' ? run + 1 : 0;
        }
        return at;
    }
};

// A name, and what parts it from its value: NAME=VALUE, NAME: VALUE, --NAME VALUE.
struct Naming {
    std::size_t start = 0;  // of the name
    std::size_t stop = 0;
    std::size_t escapes = 0;  // of the quote behind it
    bool quoted = false;
    char by = 0;
    std::size_t value = 0;  // begins here

    // The one that is parted from its value by what stands at `at`; its value may be empty.
    static Naming around(std::string_view text, std::size_t at)
    {
        Naming it;
        it.by = text[at];
        it.stop = at;
        while (it.by != ' ' && it.stop > 0 && is_space(text[it.stop - 1]))
            --it.stop;
        const bool has_blanks = it.by != '=' || it.stop < at;
        if (it.stop > 0 && (text[it.stop - 1] == '"' || text[it.stop - 1] == '\'')) {
            it.quoted = true;
            for (--it.stop; it.stop > 0 && text[it.stop - 1] == '\\'; --it.stop)
                ++it.escapes;
        }
        it.start = it.stop;
        while (it.start > 0 && is_name(text[it.start - 1]))
            --it.start;
        it.value = at + 1;
        while (has_blanks && it.value < text.size() && is_space(text[it.value]))
            ++it.value;
        return it;
    }
    [[nodiscard]] std::string_view name(std::string_view text) const
    {
        return text.substr(start, stop - start);
    }
    // `of_secret`: a QEMU object of a secret may be about.
    [[nodiscard]] bool is_of_a_secret(std::string_view text, bool of_secret) const
    {
        const auto it = name(text);
        if (it.empty()) return false;
        const bool is_named = names_a_secret(it);
        if (by == ' ') return is_named && it.front() == '-' && text.substr(value, 1) != "-";
        if (by == ':') {
            if (text.substr(value, 2) == "//") return false;  // a URI
            return is_named || (of_secret && quoted && it == "data");
        }
        const auto begin = begin_of_word(text, start);
        const auto list = text.substr(begin, start - begin);
        if (it == "key") return is_of_rbd(list) && list.ends_with(':');
        return is_named || (it == "data" && list.find("secret") != std::string_view::npos);
    }
    // What ends a value without quotes.
    [[nodiscard]] std::string_view stops(std::string_view text) const
    {
        if (by == ':') return quoted ? "}]" : "";
        if (by == ' ') return "";
        const auto begin = begin_of_word(text, start);
        const auto list = text.substr(begin, start - begin);
        return is_of_rbd(list) ? ":" : list.find('?') != std::string_view::npos ? "&;" : "";
    }
};

// QEMU doubles a comma that is part of a value.
std::size_t end_of_unquoted(std::string_view text, std::size_t at, std::string_view stops)
{
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

// The values of secret names in text that is no JSON, or in JSON that was cut off. Quotes stay
// where a colon stands before them.
void hide_named(std::string& text)
{
    const bool of_secret = text.find("qom") != std::string::npos;
    for (auto at = text.find_first_of("=: "); at != std::string::npos;
         at = text.find_first_of("=: ", at + 1)) {
        const auto naming = Naming::around(text, at);
        if (!naming.is_of_a_secret(text, of_secret)) continue;
        auto begin = naming.value;
        auto end = begin;
        if (const auto quote = Quote::at(text, begin)) {
            const auto inside = begin + quote->size();
            end = quote->end_of_quoted(text, inside);
            if (naming.by == ':')
                begin = inside;
            else
                end = std::min(end + quote->size(), text.size());
        } else {
            end = end_of_unquoted(text, begin, naming.stops(text));
            const auto value = text.substr(begin, end - begin);
            if (value == "null" || value == "true" || value == "false") continue;
        }
        if (end > begin) text.replace(begin, end - begin, kMark);
    }
}

std::string of_plain(std::string text, InPlace place)
{
    hide_in_uris(text, place);
    hide_named(text);
    return text;
}

// Behind the bracket that closes the one at `at`; npos: none does.
std::size_t end_of_bracketed(std::string_view text, std::size_t at)
{
    int depth = 0;
    bool quoted = false;
    for (; at < text.size(); ++at) {
        const char c = text[at];
        if (quoted && c == '\\')
            ++at;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            ++depth;
        else if (!quoted && (c == '}' || c == ']') && --depth == 0)
            return at + 1;
    }
    return std::string_view::npos;
}

// "passwords": ["a", "b": in what is no whole JSON, each object of which is looked at by itself.
void hide_bracketed(std::string& text, InPlace place)
{
    for (auto at = text.find(':'); at != std::string::npos; at = text.find(':', at + 1)) {
        const auto naming = Naming::around(text, at);
        const auto begin = naming.value;
        if (!naming.quoted || begin >= text.size() || (text[begin] != '{' && text[begin] != '[') ||
            !naming.is_of_a_secret(text, false))
            continue;
        const auto end = std::min(end_of_bracketed(text, begin), text.size());
        const auto quote = std::string(naming.escapes, '\\') + '"';
        text.replace(begin, end - begin,
                     place == InPlace::null ? "null" : quote + std::string(kMark) + quote);
    }
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

// Is it an argument whose value is the next one?
bool asks_for_a_secret(std::string_view json)
{
    if (json_type(json) != JsonType::string) return false;
    const auto text = json_decode_string(json);
    return text.starts_with('-') && std::ranges::all_of(text, is_name) && names_a_secret(text);
}

std::string of_array(std::string_view json, InPlace place)
{
    std::string out = "[";
    bool is_next = false;
    for (const auto element : json_elements(json)) {
        const bool hidden = is_next && json_type(element) == JsonType::string &&
                            !element.starts_with("\"-") && element != "\"\"";
        out += (out.size() > 1 ? "," : "") +
               (hidden ? json_quote(kMark) : of_json(element, place, false));
        is_next = asks_for_a_secret(element);
    }
    return out + "]";
}

std::string of_json(std::string_view json, InPlace place, bool of_secret)
{
    switch (json_type(json)) {
    case JsonType::object:
        return of_object(json, place, of_secret);
    case JsonType::array:
        return of_array(json, place);
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
    std::string other(text);
    hide_bracketed(other, place);
    std::string out;
    std::size_t done = 0;
    int false_starts = 0;
    for (auto at = other.find('{'); at != std::string::npos && false_starts < kFalseStartsMax;
         at = other.find('{', at)) {
        const auto end = end_of_bracketed(other, at);
        auto clean =
            end == std::string::npos ? std::nullopt : of_whole(other.substr(at, end - at), place);
        if (!clean) {
            ++false_starts;
            ++at;
            continue;
        }
        out += of_plain(other.substr(done, at - done), place) + *clean;
        done = at = end;
    }
    return out + of_plain(other.substr(done), place);
}

}  // namespace xlstore::tools
