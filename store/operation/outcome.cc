// SPDX-License-Identifier: MIT
// An intent that is no longer open ended in one of three ways, and history has which. What fails
// because the domain was destroyed meanwhile is told as that, no matter which call noticed it
// first: the caller has nothing to repeat (R8). An answer in doubt stays in doubt, since its number
// must not be lost.
#include "store/operation/outcome.hpp"

#include "store/core/domain.hpp"

namespace xlstore {

Outcome outcome_of_closed(Db& db, IntentId id)
{
    const auto number = std::to_string(value_of(id));
    auto row = db.prepare(
                     "SELECT h.outcome, h.evidence, h.image IS NULL AND d.state IN ('destroying', "
                     "'destroyed') FROM history h LEFT JOIN domain d ON d.id = h.domain "
                     "WHERE h.intent = ? ORDER BY h.id DESC LIMIT 1")
                   .bind(value_of(id));
    if (!row.step())
        return Error(Errc::not_found, "there is no intent " + number + " in the store",
                     "it never was, or its history has been pruned; 'xlstore intents' shows those "
                     "that are open");
    if (row.text(0) == "done") return Done{std::vector<IntentId>(1, id), row.text(1)};
    Error not_done =
        row.integer(2) != 0
            ? Error(Errc::gone, "intent " + number + " ended with its domain: " + row.text(1))
            : Error(Errc::refused, "intent " + number + " was closed as not done: " + row.text(1));
    not_done.intent = value_of(id);
    return not_done;
}

Error gone_if_destroyed(Store& store, DomainId domain, Error error) noexcept
{
    switch (error.code) {
    case Errc::invalid:
    case Errc::in_doubt:
    case Errc::order:
    case Errc::gone:
    case Errc::unfinished:
        return error;
    default:
        break;
    }
    try {
        const auto row = read_domain(store.db(), domain);
        if (row && row->state != DomainState::destroying && row->state != DomainState::destroyed)
            return error;
        if (!row && was_taken_back(store.db(), domain)) return error;
        return Error(Errc::gone,
                     (row ? row->subject() : std::string("the domain")) +
                         " was destroyed meanwhile, or is being destroyed (R8): " + error.message);
    } catch (const std::exception&) {
        return error;  // the store cannot say; what went wrong before does
    }
}

}  // namespace xlstore
