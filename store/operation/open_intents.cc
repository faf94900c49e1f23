// SPDX-License-Identifier: MIT
// Made before the intents are committed, with the shortest answer that will do: from the commit on
// there must be an answer, and there may be no memory for a longer one (R18).
#include "store/operation/open_intents.hpp"

#include <new>

#include "store/classes/same_request.hpp"

namespace xlstore {

std::string names_of(const std::vector<Draft>& drafts)
{
    std::string names;
    for (const auto& draft : drafts)
        names += (names.empty() ? "" : ", ") + draft.thing.text();
    return names;
}

OpenIntents::OpenIntents(const DomainRow& domain, std::string things_)
    : things(std::move(things_)),
      doubt(Errc::in_doubt, domain.subject() + ": " + things + " is in doubt",
            "its intent stays open: 'xlstore wait' for it, or 'xlstore recover'")
{}

OpenIntents::OpenIntents(const DomainRow& domain, const std::vector<Draft>& wanted,
                         const std::vector<Intent>& unit)
    : OpenIntents(domain, names_of(wanted))
{
    for (const auto& draft : wanted)
        for (const auto& intent : unit)
            if (wants_the_same(draft, intent.draft)) intents.push_back(intent);
}

Error OpenIntents::in_doubt(std::string_view why) const noexcept
{
    Error error(Errc::in_doubt, {});
    error.intent = value_of(intents.front().id);
    try {
        const auto number = std::to_string(value_of(intents.front().id));
        std::string advice =
            "intent " + number + " stays open: 'xlstore wait " + number + "', or 'xlstore recover'";
        error.message = doubt.message + ": ";
        error.message += why;
        error.advice = std::move(advice);
    } catch (const std::bad_alloc&) {
        error.message.clear();
    }
    return error;
}

Error OpenIntents::in_doubt_of(const Error& failure) noexcept
{
    Error error = in_doubt(failure.message);
    if (error.message.empty()) {
        error.message = std::move(doubt.message);
        error.advice = std::move(doubt.advice);
    }
    return error;
}

Error OpenIntents::given_up() const noexcept
{
    return in_doubt("it was cancelled after its first commit");
}

}  // namespace xlstore
