// SPDX-License-Identifier: MIT
#include "store/model/intent.hpp"

namespace xlstore {

std::string_view verb_name(Verb verb) noexcept
{
    switch (verb) {
    case Verb::add:
        return "add";
    case Verb::remove:
        return "remove";
    case Verb::change:
        return "change";
    }
    return "unknown";
}

std::string_view image_name(Image image) noexcept
{
    switch (image) {
    case Image::before:
        return "before";
    case Image::after:
        return "after";
    case Image::neither:
        return "neither";
    }
    return "unknown";
}

std::vector<IntentId> ids_of(const std::vector<Intent>& intents)
{
    std::vector<IntentId> ids;
    ids.reserve(intents.size());
    for (const auto& intent : intents)
        ids.push_back(intent.id);
    return ids;
}

}  // namespace xlstore
