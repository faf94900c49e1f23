// SPDX-License-Identifier: MIT
#include "store/operation/xenstore_work.hpp"

#include <optional>


namespace xlstore {

Task<Result<Done>> behind_the_commit(const std::function<Task<Result<Done>>()>& rest,
                                     const std::function<Error(const std::string&)>& doubt)
{
    std::optional<Error> failure;
    Result<Done> ended = Error(Errc::in_doubt, {});
    try {
        ended = co_await rest();
    } catch (...) {
        failure = caught();
    }
    if (failure) co_return doubt(failure->message);
    co_return ended;
}

}  // namespace xlstore
