// SPDX-License-Identifier: MIT
#include "store/classes/device_model.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "store/classes/class_plan.hpp"

namespace xlstore {

namespace {

bool only_digits(std::string_view text)
{
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "xen-console-0", "xen-vkbd-0", "xen-vfb-0", "xen-9pfs-1", "xen-qusb-0": "xen-", the name of the
// back end in xenstore, its number.
bool is_backend(std::string_view name)
{
    const auto dash = name.rfind('-');
    return name.starts_with("xen-") && dash > 4 && dash != std::string_view::npos &&
           only_digits(name.substr(dash + 1));
}

// "xvda-qcow2": the image of a disk whose back end is QEMU, by its driver.
bool is_image_of_disk(std::string_view name, std::string_view driver)
{
    const auto dash = name.find('-');
    return dash != std::string_view::npos && name.substr(dash + 1) == driver &&
           is_vdev(name.substr(0, dash));
}

bool is_console(std::string_view name)
{
    constexpr std::string_view stem = "xencons";
    return name.starts_with(stem) && only_digits(name.substr(stem.size()));
}

struct Rule {
    std::string_view kind;
    std::string_view type;  // empty: the name decides, with the type if it needs it
    bool (*is_named)(std::string_view name, std::string_view type);
};

// clang-format off
constexpr std::array kRules = {
    //   kind       type           named                                                       caused by the back end of
    Rule{"device",  "xen-backend", [](auto name, auto) { return is_backend(name); }},       // console, vkbd, vfb, 9pfs, qusb
    Rule{"object",  "iothread",    [](auto name, auto) { return is_vdev(name); }},          // qdisk: "xvda", "hdc"
    Rule{"node",    "",            is_image_of_disk},                                       // qdisk: "xvda-raw"
    Rule{"chardev", "",            [](auto name, auto) { return is_console(name); }},       // console: "xencons0"
};
// clang-format on

}  // namespace

bool is_of_device_model(std::string_view kind, std::string_view name,
                        std::string_view type) noexcept
{
    return std::any_of(kRules.begin(), kRules.end(), [&](const Rule& rule) {
        return rule.kind == kind && (rule.type.empty() || rule.type == type) &&
               rule.is_named(name, type);
    });
}

}  // namespace xlstore
