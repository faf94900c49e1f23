// SPDX-License-Identifier: MIT
#include "tools/fleet/secrets.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "store/text/json_text.hpp"

namespace xlstore::fleet {

namespace {

std::string lower(std::string_view text)
{
    std::string low(text);
    std::ranges::transform(low, low.begin(), [](unsigned char c) { return std::tolower(c); });
    return low;
}

bool is_secret(std::string_view key)
{
    const auto low = lower(key);
    return low.find("passw") != std::string::npos || low == "secret";
}

// Most documents have nothing of all that, and are not taken apart.
bool may_hold_secrets(std::string_view json)
{
    constexpr std::array kSigns = {"assw", "ASSW", "ecret", "ECRET", "://", ":\\/\\/", "\\u"};
    return std::ranges::any_of(
        kSigns, [&](const char* sign) { return json.find(sign) != std::string_view::npos; });
}

std::string cleaned(std::string_view json);

std::string cleaned_object(std::string_view json)
{
    const auto members = json_members(json);
    const bool is_secret_object = std::ranges::any_of(members, [](const JsonMember& m) {
        return (m.key == "qom-type" || m.key == "qom_type") &&
               json_type(m.value) == JsonType::string &&
               json_decode_string(m.value).starts_with("secret");
    });
    std::string out = "{";
    for (const auto& member : members) {
        const bool hidden = is_secret(member.key) || (is_secret_object && member.key == "data");
        out += (out.size() > 1 ? "," : "") + std::string(member.key_text) + ":" +
               (hidden ? "null" : cleaned(member.value));
    }
    return out + "}";
}

std::string cleaned(std::string_view json)
{
    switch (json_type(json)) {
    case JsonType::object:
        return cleaned_object(json);
    case JsonType::array: {
        std::string out = "[";
        for (const auto element : json_elements(json))
            out += (out.size() > 1 ? "," : "") + cleaned(element);
        return out + "]";
    }
    case JsonType::string: {
        const auto text = json_decode_string(json);
        const auto clean = without_login(text);
        return clean == text ? std::string(json) : json_quote(clean);
    }
    default:
        return std::string(json);
    }
}

}  // namespace

std::string without_login(std::string_view uri)
{
    const auto scheme = uri.find("://");
    if (scheme == std::string_view::npos) return std::string(uri);
    const auto begin = scheme + 3;
    const auto end = std::min(uri.find('/', begin), uri.size());
    const auto at = uri.substr(0, end).rfind('@');
    if (at == std::string_view::npos || at < begin) return std::string(uri);
    return std::string(uri.substr(0, begin)) + std::string(uri.substr(at + 1));
}

std::string without_secrets(std::string_view json)
{
    return may_hold_secrets(json) ? cleaned(json) : std::string(json);
}

}  // namespace xlstore::fleet
