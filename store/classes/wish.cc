// SPDX-License-Identifier: MIT
#include "store/classes/wish.hpp"

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

}  // namespace

Wish wish_of(const Draft& draft)
{
    Wish wish{draft.verb, draft.thing};
    if (draft.verb == Verb::add) wish.image = draft.image_after;
    if (draft.verb == Verb::change) wish.image = medium_of(draft.image_after.value_or("{}"));
    return wish;
}

bool wants_the_same(const Wish& wish, const Draft& earlier)
{
    if (XLSTORE_MUTATION("intent of another request")) return same_name(wish.thing, earlier.thing);
    if (wish.verb != earlier.verb || !same_name(wish.thing, earlier.thing)) return false;
    if (wish.verb == Verb::add && wish.image && earlier.image_after &&
        wish.thing.device_class == "vcpus")
        return as_placed(*wish.image, *earlier.image_after) == *earlier.image_after;
    return wish.image == wish_of(earlier).image;
}

bool wants_the_same(const std::vector<Wish>& wishes, const std::vector<Intent>& unit)
{
    // One thing of a batch, asked for alone, is there when the whole batch is.
    if (wishes.size() > 1 && wishes.size() != unit.size()) return false;
    return std::all_of(wishes.begin(), wishes.end(), [&](const Wish& wish) {
        return std::any_of(unit.begin(), unit.end(), [&](const Intent& intent) {
            return wants_the_same(wish, intent.draft);
        });
    });
}

}  // namespace xlstore
