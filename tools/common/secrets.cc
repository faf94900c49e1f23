// SPDX-License-Identifier: MIT
// Text is cut and put together as text, so that numbers keep their spelling.
#include "tools/common/secrets.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include "store/text/json_text.hpp"
#include "tools/common/named_values.hpp"
#include "tools/common/secret_names.hpp"
#include "tools/common/uri_logins.hpp"

namespace xlstore::tools {

namespace {

constexpr std::string_view kMark = "(removed)";
// A bracket that begins no JSON costs a look at all that follows it: only so many are tried.
constexpr int kFalseStartsMax = 64;

std::string of_json(std::string_view json, InPlace place, bool of_secret);
std::string of_string(std::string_view text, InPlace place, Extent extent);

std::string json_in_place(InPlace place)
{
    return place == InPlace::null ? "null" : json_quote(kMark);
}

// Could it be a secret?
bool says_something(std::string_view json)
{
    const auto type = json_type(json);
    return type != JsonType::boolean && type != JsonType::null && json != "\"\"";
}

template <std::size_t N>
bool is_one_of(const std::array<std::string_view, N>& names, const std::string& name)
{
    return std::ranges::find(names, std::string_view(name)) != names.end();
}

// {"key": "vnc_password", "text": "..."}: the member that the second is named by.
bool names_another(const JsonMember& member)
{
    static constexpr std::array<std::string_view, 8> namers = {
        "key", "name", "property", "target", "node", "path", "option", "variable"};
    if (!is_one_of(namers, member.key) || json_type(member.value) != JsonType::string) return false;
    const auto name = json_decode_string(member.value);
    return path_names_a_secret(name) || (member.key == "property" && name == "data");
}

bool is_named_by_another(const std::string& key)
{
    static constexpr std::array<std::string_view, 4> named = {"value", "text", "arg", "string"};
    return is_one_of(named, key);
}

std::string of_object(std::string_view json, InPlace place, bool of_secret)
{
    const auto members = json_members(json);
    of_secret = of_secret || std::ranges::any_of(members, [](const JsonMember& m) {
                    return folded(m.key) == "qom_type" && json_type(m.value) == JsonType::string &&
                           json_decode_string(m.value).starts_with("secret");
                });
    const bool of_pair = std::ranges::any_of(members, names_another);
    std::string out = "{";
    for (const auto& member : members) {
        const bool hidden = says_something(member.value) &&
                            (names_a_secret(member.key) || (of_secret && member.key == "data") ||
                             (of_pair && is_named_by_another(member.key))) &&
                            !(json_type(member.value) == JsonType::string &&
                              is_directory(member.key, json_decode_string(member.value)));
        out += (out.size() > 1 ? "," : "") + std::string(member.key_text) + ":";
        out += hidden ? json_in_place(place)
                      : of_json(member.value, place, of_secret && member.key == "props");
    }
    return out + "}";
}

// Is it an argument whose value is the next one, or of a pair the path?
bool asks_for_a_secret(std::string_view json, bool of_pair)
{
    if (json_type(json) != JsonType::string) return false;
    const auto text = json_decode_string(json);
    if (of_pair && text.starts_with('/')) return path_names_a_secret(text);
    return text.starts_with('-') && names_a_secret(text) && std::ranges::all_of(text, [](char c) {
               return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
           });
}

std::string of_array(std::string_view json, InPlace place)
{
    std::string out = "[";
    bool is_next = false;
    const auto elements = json_elements(json);
    for (const auto element : elements) {
        const auto type = json_type(element);
        out += out.size() > 1 ? "," : "";
        if (is_next && (type == JsonType::string || type == JsonType::number) &&
            !element.starts_with("\"-") && element != "\"\"")
            out += json_quote(kMark);
        else if (type == JsonType::string)
            out += of_string(element, place, Extent::argument);
        else
            out += of_json(element, place, false);
        is_next = asks_for_a_secret(element, elements.size() == 2);
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
    case JsonType::string:
        return of_string(json, place, Extent::text);
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

// Of text that is no JSON as a whole: what replaces a part of it.
struct Cut {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::string by;
};

class TextCuts {
public:
    TextCuts(std::string_view text, InPlace place, Extent extent)
        : text_(text), place_(place), values_(text, extent), logins_(text)
    {}
    std::string clean()
    {
        static const auto signs = std::string(NamedValues::kParting) + "{[";
        std::string out;
        std::size_t done = 0;
        for (auto at = text_.find_first_of(signs); at != std::string_view::npos;
             at = text_.find_first_of(signs, std::max(at + 1, done))) {
            const bool opens = text_[at] == '{' || text_[at] == '[';
            const auto cut = opens                          ? json(at)
                             : text_.substr(at, 3) == "://" ? login(at)
                                                            : value(at);
            if (!cut) continue;
            out += text_.substr(done, cut->begin - done);
            out += cut->by;
            done = cut->end;
            values_.pass(done);
        }
        out += text_.substr(done);
        return out;
    }

private:
    std::optional<Cut> json(std::size_t at)
    {
        if (false_starts_ == kFalseStartsMax) return std::nullopt;
        const auto first = text_.find_first_not_of(" \t\n", at + 1);
        if (text_[at] == '[' && (first == std::string_view::npos || text_[first] != '"'))
            return std::nullopt;
        const auto end = end_of_bracketed(text_, at);
        auto clean = end == std::string_view::npos ? std::nullopt
                                                   : of_whole(text_.substr(at, end - at), place_);
        if (clean) return Cut{at, end, *std::move(clean)};
        ++false_starts_;
        return std::nullopt;
    }
    std::optional<Cut> login(std::size_t at)
    {
        const auto login = logins_.at(at);
        if (!login) return std::nullopt;
        if (place_ == InPlace::mark) return Cut{login->password, login->sign, std::string(kMark)};
        auto begin = login->begin;
        for (auto next = login; next; next = logins_.at(begin - 3))
            begin = next->sign + 1;
        return Cut{login->begin, begin, ""};
    }
    std::optional<Cut> value(std::size_t at)
    {
        const auto value = values_.at(at);
        if (!value) return std::nullopt;
        if (place_ == InPlace::null && !value->quote.empty())
            return Cut{value->begin, value->end, "null"};
        return Cut{value->begin, value->end, value->quote + std::string(kMark) + value->quote};
    }

    std::string_view text_;
    InPlace place_;
    NamedValues values_;
    UriLogins logins_;
    int false_starts_ = 0;
};

std::string of_text(std::string_view text, InPlace place, Extent extent)
{
    if (!may_hold_secrets(text)) return std::string(text);
    const auto first = text.find_first_not_of(" \n\t");
    constexpr std::string_view begins = "{[\"";
    if (first != std::string_view::npos && begins.find(text[first]) != std::string_view::npos)
        if (auto clean = of_whole(text, place)) return *std::move(clean);
    return TextCuts(text, place, extent).clean();
}

std::string of_string(std::string_view json, InPlace place, Extent extent)
{
    const auto text = json_decode_string(json);
    const auto clean = of_text(text, place, extent);
    return clean == text ? std::string(json) : json_quote(clean);
}

}  // namespace

std::string without_secrets(std::string_view text, InPlace place)
{
    return of_text(text, place, Extent::text);
}

std::string without_secret_of(std::string_view name, std::string_view text, InPlace place)
{
    if (!names_a_secret(name)) return without_secrets(text, place);
    const auto json = json_minify(text, "text", std::string_view::npos);
    if (!json) return text.empty() ? "" : std::string(kMark);
    return says_something(*json) ? json_in_place(place) : std::string(text);
}

}  // namespace xlstore::tools
