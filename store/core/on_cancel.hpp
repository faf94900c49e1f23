// SPDX-License-Identifier: MIT
// A task that is destroyed before it has ended gives no answer of its own. What it would have to
// say, because it has changed something, it leaves with the store.
#ifndef XLSTORE_STORE_CORE_ON_CANCEL_HPP_
#define XLSTORE_STORE_CORE_ON_CANCEL_HPP_

#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "store/core/store.hpp"

namespace xlstore {

namespace detail {
/// Leaves the answer when it is destroyed before answered().
template <class Say>
class OnCancel {
public:
    OnCancel(Store& store, Errc code, Say say) : store_(store), code_(code), say_(std::move(say)) {}
    OnCancel(const OnCancel&) = delete;
    OnCancel& operator=(const OnCancel&) = delete;
    ~OnCancel()
    {
        if (answered_) return;
        try {
            if (std::optional<Error> answer = say_()) store_.leave_answer(*std::move(answer));
        } catch (const std::exception&) {
            store_.leave_answer(Error(code_, {}));
        }
    }
    void answered() noexcept { answered_ = true; }

private:
    Store& store_;
    Errc code_;
    Say say_;
    bool answered_ = false;
};

/// The frame of a task has its parameters also when it was never started.
template <class T, class Say>
Task<T> run_answered(std::unique_ptr<OnCancel<Say>> cancelled, Task<T> work)
{
    Task<T> inside = std::move(work);  // it ends before the parameters
    T done = co_await std::move(inside);
    cancelled->answered();
    co_return done;
}
}  // namespace detail

/// Runs `work`. If it is cancelled, the store is left `say()`, an Error; or nothing: what was left
/// there before, as by a part of `work`, stays. It is called when the frames of `work` are gone,
/// with all that they had; what `say` itself captured has to be there still. What it throws is
/// dropped, and the answer is `code` without words. Of several in one another the outermost has the
/// last word. Nothing is said of a task that was never started.
template <class T, class Say>
Task<T> or_when_cancelled(Store& store, Errc code, Say say, Task<T> work)
{
    detail::OnCancel<Say> cancelled(store, code, std::move(say));
    Task<T> inside = std::move(work);  // a parameter would end after `cancelled`
    T done = co_await std::move(inside);
    cancelled.answered();
    co_return done;
}

/// The same, and `say()` is said of a task that was never started, too: for work on what was
/// committed before it.
template <class T, class Say>
Task<T> or_when_given_up(Store& store, Errc code, Say say, Task<T> work)
{
    auto cancelled = std::make_unique<detail::OnCancel<Say>>(store, code, std::move(say));
    return detail::run_answered(std::move(cancelled), std::move(work));
}

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_ON_CANCEL_HPP_
