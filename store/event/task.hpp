// SPDX-License-Identifier: MIT
// Task: the coroutine type of every operation. Lazy, owned by its holder; destroying it
// cancels it at the point where it waits (destructors along the way release locks and
// descriptors). One thread: a task is resumed only by the loop it waits on.
//
// Awaiting resumes the child at once and returns false from await_suspend when it has already
// ended. Symmetric transfer would be shorter, but it is no tail call at -O0, -O1 or under a
// sanitizer, and a long loop of tasks that end at once would overflow the stack there.
#ifndef XLSTORE_STORE_EVENT_TASK_HPP_
#define XLSTORE_STORE_EVENT_TASK_HPP_

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace xlstore {

template <class T>
class Task;

/// What a task shares with all that it awaits, and with no other task of the loop. This room only
/// hands it on: store/core/task_scope.hpp.
struct TaskScope;

namespace detail {

class TaskPromiseBase {
public:
    std::suspend_always initial_suspend() noexcept { return {}; }

    struct FinalAwaiter {
        bool await_ready() noexcept { return false; }
        template <class Promise>
        void await_suspend(std::coroutine_handle<Promise> self) noexcept
        {
            // The waiting coroutine may destroy this frame: nothing of it is touched after
            // resume().
            if (auto waiting = self.promise().waiting_) waiting.resume();
        }
        void await_resume() noexcept {}
    };
    FinalAwaiter final_suspend() noexcept { return {}; }
    void unhandled_exception() noexcept { exception_ = std::current_exception(); }

    void rethrow() const
    {
        if (exception_) std::rethrow_exception(exception_);
    }

    std::coroutine_handle<> waiting_;
    const TaskScope* scope_ = nullptr;

protected:
    std::exception_ptr exception_;
};

template <class T>
class TaskPromise : public TaskPromiseBase {
public:
    Task<T> get_return_object() noexcept;
    void return_value(T value) { value_.emplace(std::move(value)); }
    T take()
    {
        rethrow();
        return std::move(*value_);
    }

private:
    std::optional<T> value_;
};

template <>
class TaskPromise<void> : public TaskPromiseBase {
public:
    Task<void> get_return_object() noexcept;
    void return_void() noexcept {}
    void take() const { rethrow(); }
};

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
public:
    using promise_type = detail::TaskPromise<T>;
    using Handle = std::coroutine_handle<promise_type>;

    explicit Task(Handle handle) noexcept : handle_(handle) {}
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Task& operator=(Task&& other) noexcept
    {
        if (this != &other) {
            if (handle_) handle_.destroy();
            handle_ = std::exchange(other.handle_, {});
        }
        return *this;
    }
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;
    ~Task()
    {
        if (handle_) handle_.destroy();
    }

    /// Runs the task to its first wait. For an owner that does not await it at once; `scope`: that
    /// of the owner, or of its own.
    void start(const TaskScope* scope = nullptr)
    {
        handle_.promise().scope_ = scope;
        handle_.resume();
    }
    [[nodiscard]] bool done() const noexcept { return handle_.done(); }
    /// The result of a task that is done; rethrows what it threw.
    T take() { return handle_.promise().take(); }

    struct Awaiter {
        Handle child;
        const TaskScope* scope;
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        bool await_suspend(std::coroutine_handle<Promise> waiting)
        {
            child.promise().scope_ = scope ? scope : waiting.promise().scope_;
            child.resume();
            if (child.done()) return false;
            child.promise().waiting_ = waiting;
            return true;
        }
        T await_resume() { return child.promise().take(); }
    };
    Awaiter operator co_await() && noexcept { return Awaiter{handle_, nullptr}; }
    /// Awaits it with a scope of its own, which has to outlive it.
    Awaiter in(const TaskScope& scope) && noexcept { return Awaiter{handle_, &scope}; }

    /// Waits for a task that was started, so that several run side by side. One waits at most.
    struct Join {
        Handle child;
        bool await_ready() const noexcept { return child.done(); }
        void await_suspend(std::coroutine_handle<> waiting) { child.promise().waiting_ = waiting; }
        T await_resume() { return child.promise().take(); }
    };
    Join join() noexcept { return Join{handle_}; }

private:
    Handle handle_;
};

/// Awaited, the scope of the task that awaits it; nullptr: it has none.
struct CurrentScope {
    const TaskScope* scope = nullptr;
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept
    {
        scope = self.promise().scope_;
        return false;
    }
    const TaskScope* await_resume() const noexcept { return scope; }
};

namespace detail {
template <class T>
Task<T> TaskPromise<T>::get_return_object() noexcept
{
    return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}
inline Task<void> TaskPromise<void>::get_return_object() noexcept
{
    return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}
}  // namespace detail

}  // namespace xlstore

#endif  // XLSTORE_STORE_EVENT_TASK_HPP_
