// SPDX-License-Identifier: MIT
// Which devices a guest was asked for is a row of each product; a tray has none, so that the time
// in the intent stands for it. An intent of an older state of the store waits for nothing: what its
// guest was asked for then is not known to be pending.
#include "store/operation/asked.hpp"

#include <algorithm>
#include <string>
#include <string_view>

namespace xlstore {

namespace {
constexpr std::string_view kTray = "tray";
}  // namespace

Product tray_of(const Probe& probe)
{
    return Product{std::string(kTray), probe.drive->drive, std::nullopt};
}

std::vector<Product> asked_of(const std::vector<Intent>& intents)
{
    std::vector<Product> asked;
    for (const auto& intent : intents) {
        if (intent.older_state) continue;  // it is closed by what is seen now
        asked.insert(asked.end(), intent.asked.begin(), intent.asked.end());
        if (intent.asked_us && intent.draft.plan.probe.drive)
            asked.push_back(tray_of(intent.draft.plan.probe));
    }
    return asked;
}

std::vector<Product> still_there(const std::vector<Product>& asked, const Evidence& found)
{
    std::vector<Product> there;
    for (const auto& product : asked)
        if (product.kind == kTray && found.image == Image::before) there.push_back(product);
    for (const auto& product : found.present)
        if (has_product(asked, product)) there.push_back(product);
    return there;
}

bool has_more_to_ask(const std::vector<Intent>& intents, const Evidence& found)
{
    const auto asked = asked_of(intents);
    return !still_there(asked, found).empty() &&
           std::any_of(found.present.begin(), found.present.end(), [&](const Product& product) {
               return is_device(product) && !has_product(asked, product);
           });
}

}  // namespace xlstore
