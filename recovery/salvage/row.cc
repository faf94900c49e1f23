// SPDX-License-Identifier: MIT
#include "recovery/salvage/row.hpp"

#include <utility>

#include "store/model/document.hpp"
#include "store/qmp/protocol.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

namespace {

// R22: nothing of it is left out.
std::string printable_whole(const std::string& text)
{
    return qmp::printable(text, text.size());
}

}  // namespace

std::int64_t Row::integer(const std::string& column) const
{
    const auto* value = std::get_if<std::int64_t>(&cells_.at(column));
    return value ? *value : 0;
}

std::string Row::text(const std::string& column) const
{
    const auto* value = std::get_if<std::string>(&cells_.at(column));
    return value ? *value : std::string();
}

bool Row::is_null(const std::string& column) const
{
    return std::holds_alternative<std::monostate>(cells_.at(column));
}

std::string Row::json() const
{
    std::vector<std::pair<std::string, std::string>> members;
    for (const auto& [column, cell] : cells_) {
        const auto* number = std::get_if<std::int64_t>(&cell);
        members.emplace_back(column, is_null(column) ? "null"
                                     : number        ? std::to_string(*number)
                                     : check_name(text(column))
                                         ? json_quote(text(column))
                                         : json_quote(printable_whole(text(column))));
    }
    return json_object(members);
}

}  // namespace xlstore::recovery
