// SPDX-License-Identifier: MIT
#include "store/operation/xenstore_work.hpp"

#include <optional>

#include "store/core/on_cancel.hpp"

namespace xlstore {

Task<Result<Done>> behind_the_commit(Store& store, const std::function<Task<Result<Done>>()>& rest,
                                     const std::function<Error(const std::string&)>& doubt)
{
    const auto given_up = [&doubt] { return doubt("it was cancelled after its first commit"); };
    std::optional<Error> failure;
    Result<Done> ended = Error(Errc::in_doubt, {});
    try {
        ended = co_await or_when_cancelled(store, Errc::in_doubt, given_up, rest());
    } catch (...) {
        failure = caught();
    }
    if (failure) co_return doubt(failure->message);
    co_return ended;
}

}  // namespace xlstore
