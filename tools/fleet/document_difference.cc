// SPDX-License-Identifier: MIT
#include "tools/fleet/document_difference.hpp"

#include <map>
#include <optional>

#include "store/text/json_text.hpp"

namespace xlstore::fleet {

namespace {

using Value = std::optional<std::string_view>;
using Lines = std::vector<std::string>;

std::map<std::string, Value> parts(std::string_view value)
{
    std::map<std::string, Value> found;
    for (const auto& member : json_members(value))
        found.emplace("." + member.key, member.value);
    std::size_t index = 0;
    for (const auto element : json_elements(value))
        found.emplace("[" + std::to_string(index++) + "]", element);
    return found;
}

void compare(const std::string& at, Value here, Value there, Lines& lines)
{
    if (here && there && json_equal(*here, *there)) return;
    const bool apart =
        here && there && json_type(*here) == json_type(*there) &&
        (json_type(*here) == JsonType::object || json_type(*here) == JsonType::array);
    if (!apart) {
        lines.push_back(at.substr(at.starts_with('.') ? 1 : 0) + ": " +
                        (here ? std::string(*here) : "nothing") + " here, " +
                        (there ? std::string(*there) : "nothing") + " there");
        return;
    }
    auto left = parts(*here);
    auto right = parts(*there);
    auto names = left;
    names.merge(std::map<std::string, Value>(right));
    for (const auto& [name, value] : names)
        compare(at + name, left.contains(name) ? left[name] : Value(),
                right.contains(name) ? right[name] : Value(), lines);
}

}  // namespace

std::vector<std::string> document_difference(std::string_view here, std::string_view there)
{
    Lines lines;
    compare("", here, there, lines);
    return lines;
}

}  // namespace xlstore::fleet
