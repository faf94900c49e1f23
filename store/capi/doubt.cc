// SPDX-License-Identifier: MIT
#include "store/capi/doubt.hpp"

#include <new>

#include "store/capi/handle.hpp"

namespace xlstore::capi {

Error still_open(const DomainRow& domain, IntentId id, Error error) noexcept
{
    error.intent = value_of(id);
    switch (error.code) {
    case Errc::gone:
    case Errc::not_found:
    case Errc::invalid:
    case Errc::order:
    case Errc::in_doubt:  // it says so itself
        return error;
    default:
        break;
    }
    error.code = Errc::in_doubt;
    try {
        const auto number = std::to_string(value_of(id));
        std::string message = domain.subject() + ": intent " + number +
                              " is in doubt, it could not be settled: " + error.message;
        error.advice = "it stays open: settle it again, or 'xlstore wait " + number + "'";
        error.message = std::move(message);
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch)
        // As it is.
    }
    return error;
}

int32_t or_in_doubt(std::int64_t intent, int32_t status) noexcept
{
    if (status != XLSTORE_E_NO_MEMORY) return status;
    remember(XLSTORE_E_IN_DOUBT, intent, "out of memory: the intent stays open",
             "free memory, then settle it again");
    return XLSTORE_E_IN_DOUBT;
}

}  // namespace xlstore::capi
