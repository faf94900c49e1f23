// SPDX-License-Identifier: MIT
#include "recovery/base/quarantine.hpp"

#include <algorithm>
#include <string>

#include "store/base/clock.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

void quarantine(Db& db, std::optional<DomainId> domain, std::string_view what, std::string_view why,
                std::string_view text)
{
    db.prepare("INSERT INTO set_aside (at_us, domain, what, why, text) VALUES (?, ?, ?, ?, ?)")
        .bind(now_us())
        .bind(domain ? std::optional(value_of(*domain)) : std::nullopt)
        .bind(what)
        .bind(why)
        .bind(text)
        .run();
}

namespace {

constexpr int kDeep = 3;  // a text in a column of a row that is kept as an object

std::string without_backslashes(std::string_view text)
{
    std::string rest(text);
    std::erase(rest, '\\');
    return rest;
}

bool is_named_in(std::string_view text, std::string_view name, int deep);

// In a JSON value: a string, or what a string has as JSON once more.
bool is_named_in_value(std::string_view value, std::string_view name, int deep)
{
    switch (json_type(value)) {
    case JsonType::string: {
        const auto content = json_decode_string(value);
        return content == name || (deep > 0 && is_named_in(content, name, deep - 1));
    }
    case JsonType::array:
        return std::ranges::any_of(json_elements(value), [&](std::string_view element) {
            return is_named_in_value(element, name, deep);
        });
    case JsonType::object:
        return std::ranges::any_of(json_members(value), [&](const JsonMember& member) {
            return member.key == name || is_named_in_value(member.value, name, deep);
        });
    default:
        return false;
    }
}

// A string may be spelled in several ways. In what cannot be read it is looked for as it stands
// there, but for backslashes, with which "/" and the quotes of a text in a text are spelled.
bool is_named_in(std::string_view text, std::string_view name, int deep)
{
    if (const auto read = json_minify(text, "text")) return is_named_in_value(*read, name, deep);
    const auto quoted = without_backslashes(json_quote(name));
    return without_backslashes(text).find(quoted) != std::string::npos;
}

}  // namespace

bool is_named_in_quarantine(Db& db, std::string_view name)
{
    auto texts = db.prepare("SELECT text FROM set_aside");
    while (texts.step())
        if (is_named_in(texts.text(0), name, kDeep)) return true;
    return false;
}

}  // namespace xlstore::recovery
