// SPDX-License-Identifier: MIT
// Where QEMU is silent, or another process has the slow lock, a request ends before it has looked
// at anything. Of itself it has changed nothing; but the older one, whose effect its caller asks
// about, may have been done. An intent of this operation's own is never taken for an older one:
// what fails after its commit is in doubt already, or its intent is closed.
#include "store/operation/earlier_request.hpp"

#include <utility>

#include "store/classes/same_request.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/on_cancel.hpp"
#include "store/operation/open_intents.hpp"
#include "store/testing/mutation.hpp"

namespace xlstore {

namespace {

// Does an operation that failed with `code` leave open what became of an older one? A domain that
// is gone, and a QEMU that is dead, say it.
bool tells_nothing_of_earlier(Errc code)
{
    switch (code) {
    case Errc::timeout:
    case Errc::protocol:
    case Errc::refused:
    case Errc::lost:
    case Errc::cancelled:
    case Errc::io:
    case Errc::store:
    case Errc::no_memory:
        return true;
    default:
        return false;
    }
}

std::optional<OpenIntents> earlier_request(Store& store, const DomainRow& domain,
                                           const std::vector<Draft>& wanted)
{
    for (const auto& draft : wanted) {
        const auto id = open_intent_of(store.db(), domain.id, draft.thing);
        if (!id) continue;
        const auto unit = read_batch(store.db(), *id);
        if (!unit || !wants_the_same(wanted, *unit)) continue;
        return OpenIntents(domain, wanted, *unit);
    }
    return std::nullopt;
}

}  // namespace

Error or_doubt_of_earlier(Store& store, const DomainRow& domain, const std::vector<Draft>& wanted,
                          Error failure) noexcept
{
    if (!tells_nothing_of_earlier(failure.code)) return failure;
    // An own intent that the engine missed would be found here, too: the guard's second half.
    if (XLSTORE_MUTATION("doubt after commit 1")) return failure;
    try {
        if (auto earlier = earlier_request(store, domain, wanted))
            return earlier->in_doubt_of(failure);
    } catch (const std::exception&) {
        // The store cannot say; what went wrong before does.
    }
    return failure;
}

std::optional<Error> left_or_doubt_of_earlier(Store& store, const DomainRow& domain,
                                              const std::vector<Draft>& wanted)
{
    auto left = store.take_left_answer();
    Error cancelled =
        left ? *left : Error(Errc::cancelled, "it was cancelled before QEMU was asked about it");
    auto answer = or_doubt_of_earlier(store, domain, wanted, std::move(cancelled));
    if (answer.code == Errc::in_doubt) left = std::move(answer);
    return left;
}

Task<Outcome> with_earlier_request(Store& store, DomainRow domain, std::vector<Draft> wanted,
                                   Task<Outcome> work)
{
    const auto given_up = [&] { return left_or_doubt_of_earlier(store, domain, wanted); };
    auto inside = or_when_cancelled(store, Errc::cancelled, given_up, std::move(work));
    Outcome done = Error(Errc::no_memory, {});
    try {
        done = co_await std::move(inside);
    } catch (...) {
        done = caught();
    }
    if (!done) co_return or_doubt_of_earlier(store, domain, wanted, std::move(done).error());
    co_return done;
}

}  // namespace xlstore
