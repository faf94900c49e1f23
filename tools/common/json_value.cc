// SPDX-License-Identifier: MIT
#include "tools/common/json_value.hpp"

#include <array>
#include <cstdint>
#include <cstdio>

#include "store/text/plain_text.hpp"
#include "store/text/raw_bytes.hpp"

namespace xlstore::tools {

Json json_value(std::string_view json)
{
    return Json::parse(with_raw_bytes_shown(json));
}

std::string json_text(const Json& value, int indent)
{
    return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

namespace {

void append_unit(std::string& text, std::uint32_t unit)
{
    std::array<char, 8> escape{};
    (void)std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(unit));
    text += escape.data();
}

// Of strings, in which alone such a character may stand, what would steer a terminal.
std::string with_controls_escaped(const std::string& json)
{
    std::string text;
    for (std::string_view rest = json; !rest.empty();) {
        const Character one = first_character(rest);
        const char32_t code = one.code.value_or(' ');
        constexpr char32_t del = 0x7f;
        constexpr char32_t above = 0x10000;
        if (code < del || is_printed(code)) {
            text += rest.substr(0, one.size);
        } else if (code < above) {
            append_unit(text, code);
        } else {
            append_unit(text, 0xD800 + ((code - above) >> 10U));
            append_unit(text, 0xDC00 + ((code - above) & 0x3FFU));
        }
        rest.remove_prefix(one.size);
    }
    return text;
}

}  // namespace

void print_json(std::string_view json)
{
    std::puts(with_controls_escaped(with_raw_bytes_escaped(json)).c_str());
}

}  // namespace xlstore::tools
