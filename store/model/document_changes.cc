// SPDX-License-Identifier: MIT
// Members and things that are equal, text for text, are not mentioned; of one that changed the
// names of its members are, without their values, which may be secret. Names that a terminal could
// take for a command are quoted.
#include "store/model/document_changes.hpp"

#include <map>
#include <utility>

#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

// A name of a form that cannot steer a terminal stands as it is; any other one is quoted.
std::string shown(const std::string& name)
{
    constexpr std::string_view plain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-/#";
    return name.find_first_not_of(plain) == std::string::npos ? name : json_shown(name);
}

void append(std::string& list, const std::string& word)
{
    list += (list.empty() ? "" : ", ") + word;
}

}  // namespace

std::string changed_members(std::string_view before, std::string_view after)
{
    std::map<std::string, std::pair<std::string_view, std::string_view>> values;
    for (const auto& member : json_members(before))
        values[member.key].first = member.value;
    for (const auto& member : json_members(after))
        values[member.key].second = member.value;
    std::string names;
    for (const auto& [name, value] : values)
        if (value.first != value.second) append(names, shown(name));
    return names;
}

void DocumentChanges::add(const std::string& what, const std::optional<std::string>& before,
                          const std::optional<std::string>& after)
{
    if (before == after) return;
    if (!before) return append(added_, shown(what));
    if (!after) return append(removed_, shown(what));
    const auto names = changed_members(*before, *after);
    append(changed_, shown(what) + (names.empty() ? "" : " (" + names + ")"));
}

void DocumentChanges::members(const std::vector<DocumentMember>& before,
                              const std::vector<DocumentMember>& after)
{
    // A member without text is the place of an array, whose things are compared one by one.
    std::map<std::string, std::pair<std::optional<std::string>, std::optional<std::string>>> texts;
    for (const auto& member : before)
        texts[member.key].first = member.text;
    for (const auto& member : after)
        texts[member.key].second = member.text;
    for (const auto& [key, text] : texts)
        add(key, text.first, text.second);
}

void DocumentChanges::thing(const ThingName& name, const std::optional<std::string>& before,
                            const std::optional<std::string>& after)
{
    add(name.text(), before, after);
}

std::string DocumentChanges::text() const
{
    std::string all;
    for (const auto& [what, list] :
         {std::pair("changed ", &changed_), std::pair("added ", &added_),
          std::pair("removed ", &removed_)})
        if (!list->empty()) all += (all.empty() ? "" : "; ") + (what + *list);
    return all.empty() ? "nothing changed" : all;
}

}  // namespace xlstore
