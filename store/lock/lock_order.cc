// SPDX-License-Identifier: MIT
#include "store/lock/lock_order.hpp"

#include <array>
#include <string>
#include <utility>

#include "store/base/error.hpp"
#include "store/testing/mutation.hpp"

namespace xlstore {

namespace {

// 0 the embedder's context lock, recursively entered; 1 sections.
thread_local std::array<int, 2> inside{};
// Explicit fast holds. Another thread may release one, and counts it down here, where it was taken.
thread_local std::shared_ptr<std::atomic<int>> fast_holds;

bool holds_fast() noexcept
{
    return fast_holds && *fast_holds > 0;
}

Error out_of_order(std::string what)
{
    return Error(Errc::order, std::move(what),
                 "the order is: slow lock, context lock, fast lock, writer lock (R7)");
}

}  // namespace

std::string_view lock_name(LockKind kind) noexcept
{
    switch (kind) {
    case LockKind::slow:
        return "slow lock";
    case LockKind::fast:
        return "fast lock";
    case LockKind::writer:
        return "writer lock";
    case LockKind::destroy:
        return "destroy lock";
    case LockKind::session:
        return "session";
    }
    return "lock";
}

Result<void> LockOrder::may_take(LockKind kind)
{
    if (XLSTORE_MUTATION("lock order")) return {};
    if (inside[1] > 0)
        return out_of_order(
            "the " + std::string(lock_name(kind)) +
            " was asked for inside a section under the fast lock or the writer lock");
    if (holds_fast() && kind != LockKind::writer)
        return out_of_order("the " + std::string(lock_name(kind)) +
                            " was asked for while this thread holds a fast lock");
    return {};
}

Result<void> LockOrder::context_enter()
{
    if (inside[1] > 0 || holds_fast())
        return out_of_order("the context lock was taken under the fast lock");
    ++inside[0];
    return {};
}

Result<void> LockOrder::context_leave()
{
    if (inside[0] == 0)
        return out_of_order("the context lock was left but not entered on this thread");
    --inside[0];
    return {};
}

Result<void> LockOrder::may_block()
{
    if (inside[0] > 0)
        return Error(
            Errc::order,
            "a call that may wait for a slow lock or for QEMU was made under the context "
            "lock",
            "make it without the context lock, or in its form that does not wait (_start); "
            "the order is: slow lock, context lock, fast lock, writer lock (R7)");
    return may_take(LockKind::slow);
}

Result<void> LockOrder::may_dispatch()
{
    if (inside[1] > 0 || holds_fast())
        return out_of_order("this thread holds a fast lock, and nothing else may run meanwhile");
    return {};
}

LockOrder::FastHeld::FastHeld()
{
    if (!fast_holds) fast_holds = std::make_shared<std::atomic<int>>(0);
    taken_in_ = fast_holds;
    ++*taken_in_;
}
LockOrder::FastHeld::~FastHeld()
{
    --*taken_in_;
}

LockOrder::Section::Section() noexcept
{
    ++inside[1];
}
LockOrder::Section::~Section()
{
    --inside[1];
}

}  // namespace xlstore
