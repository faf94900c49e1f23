// SPDX-License-Identifier: MIT
#include "tools/common/json_value.hpp"

#include <cstdio>

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

void print_json(std::string_view json)
{
    std::puts(with_raw_bytes_escaped(json).c_str());
}

}  // namespace xlstore::tools
