// SPDX-License-Identifier: MIT
#include "store/model/domain_traits.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

constexpr std::array kTypes = {DomainType::hvm, DomainType::pv, DomainType::pvh};

// A value of an enumeration, which libxl reads in either case; "" where it is not given.
std::string enumerated(std::string_view object, std::string_view key)
{
    std::string value = json_get_string(object, key).value_or("");
    std::transform(value.begin(), value.end(), value.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    });
    return value;
}

}  // namespace

std::string_view domain_type_name(DomainType type) noexcept
{
    switch (type) {
    case DomainType::hvm:
        return "hvm";
    case DomainType::pv:
        return "pv";
    case DomainType::pvh:
        return "pvh";
    case DomainType::unknown:
        break;
    }
    return "unknown";
}

DomainType domain_type_in(std::string_view c_info, std::string_view b_info)
{
    const std::string named = enumerated(c_info, "type");
    for (const DomainType type : kTypes)
        if (named == domain_type_name(type)) return type;
    for (const DomainType type : kTypes)
        if (json_find(b_info, "type." + std::string(domain_type_name(type)))) return type;
    return DomainType::unknown;
}

void DomainTraits::add_controller(std::string_view element_json)
{
    if (const auto devid = json_get_integer(element_json, "devid"); devid && *devid >= 0)
        controllers[*devid] = is_device_model_controller(type, element_json);
}

std::optional<bool> DomainTraits::is_of_device_model(std::int64_t controller) const
{
    const auto found = controllers.find(controller);
    return found == controllers.end() ? std::nullopt : std::optional(found->second);
}

bool is_device_model_controller(DomainType type, std::string_view element_json)
{
    if (type == DomainType::pv || type == DomainType::pvh) return false;
    const std::string kind = enumerated(element_json, "type");
    return kind.empty() || kind == "auto" || kind == "devicemodel";
}

}  // namespace xlstore
