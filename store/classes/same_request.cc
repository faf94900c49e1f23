// SPDX-License-Identifier: MIT
#include "store/classes/same_request.hpp"

#include <algorithm>

#include "store/classes/class_plan.hpp"
#include "store/testing/mutation.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

bool same_name(const ThingName& a, const ThingName& b)
{
    return a.device_class == b.device_class && a.key == b.key;
}

// The entry of a vcpu has, besides what was asked for, where QEMU has room for it.
std::string as_placed(std::string image, std::string_view placed)
{
    for (const char* member : {"driver", "props"})
        if (const auto value = json_find(placed, member))
            image = json_with_member(image, member, *value);
    return image;
}

bool same_image(const Draft& wanted, const Draft& earlier)
{
    switch (wanted.verb) {
    case Verb::remove:
        return true;
    case Verb::change:
        return medium_of(wanted.image_after.value_or("{}")) ==
               medium_of(earlier.image_after.value_or("{}"));
    case Verb::add:
        break;
    }
    if (wanted.image_after && earlier.image_after && wanted.thing.device_class == "vcpus")
        return as_placed(*wanted.image_after, *earlier.image_after) == *earlier.image_after;
    return wanted.image_after == earlier.image_after;
}

}  // namespace

bool wants_the_same(const Draft& wanted, const Draft& earlier)
{
    if (!same_name(wanted.thing, earlier.thing)) return false;
    if (XLSTORE_MUTATION("intent of another request")) return true;
    return wanted.verb == earlier.verb && same_image(wanted, earlier);
}

bool wants_the_same(const std::vector<Draft>& wanted, const std::vector<Intent>& unit)
{
    // One thing of a batch, asked for alone, is there when the whole batch is.
    if (wanted.size() > 1 && wanted.size() != unit.size()) return false;
    return std::all_of(wanted.begin(), wanted.end(), [&](const Draft& draft) {
        return std::any_of(unit.begin(), unit.end(), [&](const Intent& intent) {
            return wants_the_same(draft, intent.draft);
        });
    });
}

}  // namespace xlstore
