// SPDX-License-Identifier: MIT
#include "store/text/error_json.hpp"

#include <utility>
#include <vector>

#include "store/base/limits.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

std::string error_json(const Error& error)
{
    std::vector<std::pair<std::string, std::string>> members = {
        {"code", json_quote(errc_name(error.code))},
        {"message", json_quote(plain_text(error.message, limits::error_bytes_max))}};
    if (!error.advice.empty())
        members.emplace_back("advice",
                             json_quote(plain_text(error.advice, limits::error_bytes_max)));
    if (error.intent) members.emplace_back("intent", std::to_string(*error.intent));
    return json_object(members);
}

}  // namespace xlstore
