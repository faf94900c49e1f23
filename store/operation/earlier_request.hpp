// SPDX-License-Identifier: MIT
// An older request for the same, whose intent is open, where a new one ends before it has come to
// it: what becomes of the older one is the outcome of both (R18).
#ifndef XLSTORE_STORE_OPERATION_EARLIER_REQUEST_HPP_
#define XLSTORE_STORE_OPERATION_EARLIER_REQUEST_HPP_

#include <optional>
#include <vector>

#include "store/core/store.hpp"
#include "store/event/task.hpp"
#include "store/model/domain_row.hpp"
#include "store/model/intent.hpp"
#include "store/operation/outcome.hpp"

namespace xlstore {

/// What an operation that wants `wanted` answers instead of `failure`, from the rows alone: in
/// doubt with the number, where an older request for the same is open and `failure` says nothing of
/// what became of it; else `failure`.
[[nodiscard]] Error or_doubt_of_earlier(Store& store, const DomainRow& domain,
                                        const std::vector<Draft>& wanted, Error failure) noexcept;
/// The same for one that is cancelled, whose parts may have left an answer with the store. Nothing:
/// there is nothing to say.
[[nodiscard]] std::optional<Error> left_or_doubt_of_earlier(Store& store, const DomainRow& domain,
                                                            const std::vector<Draft>& wanted);
/// Runs `work`, which wants `wanted`, and answers as those two do when it fails or is cancelled.
/// What it throws is a failure as well.
Task<Outcome> with_earlier_request(Store& store, DomainRow domain, std::vector<Draft> wanted,
                                   Task<Outcome> work);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_EARLIER_REQUEST_HPP_
