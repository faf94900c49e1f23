// SPDX-License-Identifier: MIT
// What an operation ended with (R18): done, or an error that says no less than is known.
#ifndef XLSTORE_STORE_OPERATION_OUTCOME_HPP_
#define XLSTORE_STORE_OPERATION_OUTCOME_HPP_

#include <string>
#include <vector>

#include "store/base/error.hpp"
#include "store/core/store.hpp"
#include "store/model/intent.hpp"

namespace xlstore {

/// Done, and on what evidence.
struct Done {
    std::vector<IntentId> intents;  ///< in the order of the drafts; 0: it was there already
    std::string evidence;
};
/// Done; or not done, or in doubt (Errc::in_doubt, with the number).
using Outcome = Result<Done>;

/// What history says of an intent that is closed: done; refused, closed as not done; gone, with its
/// domain; with its number. Error not_found: it never was, or its history has been pruned.
Outcome outcome_of_closed(Db& db, IntentId id);

/// What an operation on a domain that was destroyed meanwhile ends with, instead of `error`: gone.
/// Any other domain, an outcome in doubt, and a fault of the caller's leave `error` as it is.
[[nodiscard]] Error gone_if_destroyed(Store& store, DomainId domain, Error error) noexcept;

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_OUTCOME_HPP_
