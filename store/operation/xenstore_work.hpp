// SPDX-License-Identifier: MIT
// What each operation on a thing of xenstore has alike: whose request it is, until when it may
// take, and how its errors are worded.
#ifndef XLSTORE_STORE_OPERATION_XENSTORE_WORK_HPP_
#define XLSTORE_STORE_OPERATION_XENSTORE_WORK_HPP_

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include "store/core/store.hpp"
#include "store/model/domain_row.hpp"
#include "store/operation/grace.hpp"
#include "store/operation/outcome.hpp"
#include "store/operation/request.hpp"

namespace xlstore {

struct XenstoreWork {
    XenstoreWork(Store& store_, DomainRow domain_, Request request_, Deadline until_)
        : store(store_), domain(std::move(domain_)), request(std::move(request_)), until(until_)
    {}
    /// A silent daemon keeps the fast lock no longer.
    static constexpr auto kLockHeld = std::chrono::seconds(5);

    /// For the claim of a lock, and for history.
    [[nodiscard]] std::string operation() const
    {
        return std::string(kind_name(request.kind)) + " " + request.device_class;
    }
    [[nodiscard]] Deadline held_until() const { return std::min(until, Clock::now() + kLockHeld); }
    [[nodiscard]] Deadline looked_until() const
    {
        return std::min(probe_deadline(until), Clock::now() + kLockHeld);
    }
    /// `error`, with the domain and what it is about.
    [[nodiscard]] Error of(Error error, const std::string& thing) const
    {
        error.message = domain.subject() + ": " + thing + ": " + error.message;
        return error;
    }
    /// The outcome that has no number: there is no intent (R18).
    [[nodiscard]] Error in_doubt(const std::string& what, std::string advice) const
    {
        return Error(Errc::in_doubt, domain.subject() + ": " + what, std::move(advice));
    }

    Store& store;
    DomainRow domain;
    Request request;
    Deadline until;
    std::string committed = {};    ///< the thing whose entry this has committed; "": none yet
    bool holds_slow_lock = false;  ///< the caller has the domain's, for the device's script
    bool never_ran = false;        ///< a detach of what was attached, and its script did not begin
};

/// Runs what comes behind the entry's commit: an exception there proves nothing (R18). Error then:
/// that of `doubt`, which gets its words.
Task<Result<Done>> behind_the_commit(const std::function<Task<Result<Done>>()>& rest,
                                     const std::function<Error(const std::string&)>& doubt);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_XENSTORE_WORK_HPP_
