// SPDX-License-Identifier: MIT
#include "tools/fleet/portable_text.hpp"

#include <string_view>

#include "store/text/plain_text.hpp"

namespace xlstore::fleet {

namespace {

constexpr std::size_t kEscape = 6;  // bytes of \u0000

// An escape that PostgreSQL refuses: NUL, or half a pair, by which json_quote
// writes a byte that is not UTF-8.
bool is_refused(std::string_view text)
{
    return text.starts_with("\\u0000") ||
           (text.size() >= kEscape && (text.starts_with("\\ud") || text.starts_with("\\uD")) &&
            text[3] >= '8');
}

}  // namespace

std::string portable_json(std::string_view json)
{
    std::string out;
    out.reserve(json.size());
    for (std::size_t at = 0; at < json.size();) {
        const auto rest = json.substr(at);
        std::size_t taken = 1;
        if (is_refused(rest)) {
            out += '?';
            taken = kEscape;
        } else if (rest.front() == '\\' && rest.size() > 1) {
            taken = 2;  // so that the second of "\\" begins nothing
            out += rest.substr(0, taken);
        } else if (const auto c = first_character(rest); c.code) {
            taken = c.size;
            out += rest.substr(0, taken);
        } else {
            out += '?';
        }
        at += taken;
    }
    return out;
}

}  // namespace xlstore::fleet
