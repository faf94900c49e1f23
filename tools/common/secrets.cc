// SPDX-License-Identifier: MIT
#include "tools/common/secrets.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>

namespace xlstore::tools {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kTakenOut = "(removed)";
constexpr std::array<std::string_view, 7> kWords = {"passw",      "passphrase", "secret",
                                                    "credential", "token",      "private_key",
                                                    "pwd"};

std::string lowered(std::string_view text)
{
    std::string lower(text);
    std::ranges::transform(lower, lower.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return lower;
}

bool names_a_secret(std::string_view name)
{
    const auto lower = lowered(name);
    return lower == "key-secret" || lower == "ticket" ||
           std::ranges::any_of(kWords, [&](std::string_view word) {
               return lower.find(word) != std::string::npos;
           });
}

// "scheme://user:password@host": the password.
void hide_in_uris(std::string& text)
{
    for (auto at = text.find("://"); at != std::string::npos; at = text.find("://", at + 3)) {
        const auto end = text.find_first_of("/ \"'", at + 3);
        const auto sign = text.substr(0, end).rfind('@');
        const auto colon = text.find(':', at + 3);
        if (sign == std::string::npos || sign < at || colon == std::string::npos || colon > sign)
            continue;
        text.replace(colon + 1, sign - colon - 1, kTakenOut);
    }
}

// "password=abc,": from behind "=" to the next delimiter.
void hide_assignments(std::string& text)
{
    for (auto at = text.find('='); at != std::string::npos; at = text.find('=', at + 1)) {
        auto start = at;
        while (start > 0 && (std::isalnum(static_cast<unsigned char>(text[start - 1])) != 0 ||
                             text[start - 1] == '_' || text[start - 1] == '-'))
            --start;
        const auto name = std::string_view(text).substr(start, at - start);
        // Ceph's key in the name of an image: "rbd:pool/image:key=...".
        const bool of_rbd = name == "key" && start > 0 && text[start - 1] == ':';
        if (!names_a_secret(name) && !of_rbd) continue;
        const auto end = std::min(text.find_first_of(",&; :\"'\n", at + 1), text.size());
        if (end > at + 1) text.replace(at + 1, end - at - 1, kTakenOut);
    }
}

std::string hidden(std::string text)
{
    hide_in_uris(text);
    hide_assignments(text);
    return text;
}

bool hide(Json& value)
{
    bool changed = false;
    if (value.is_string()) {
        const auto& before = value.get_ref<const std::string&>();
        auto after = without_secrets(before);
        changed = after != before;
        if (changed) value = std::move(after);
    } else if (value.is_object()) {
        for (auto& [name, member] : value.items()) {
            const bool secret = names_a_secret(name) && member.is_primitive() &&
                                !member.is_null() && !member.is_boolean() && member != "" &&
                                member != kTakenOut;
            if (secret) member = kTakenOut;
            changed = hide(member) || secret || changed;
        }
    } else if (value.is_array()) {
        for (auto& element : value)
            changed = hide(element) || changed;
    }
    return changed;
}

}  // namespace

std::string without_secrets(std::string_view text)
{
    const auto first = text.find_first_not_of(" \n\t");
    if (first == std::string_view::npos || (text[first] != '{' && text[first] != '['))
        return hidden(std::string(text));
    auto value = Json::parse(text, nullptr, false);
    if (value.is_discarded()) return hidden(std::string(text));
    if (!hide(value)) return std::string(text);
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace xlstore::tools
