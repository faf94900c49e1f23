// SPDX-License-Identifier: MIT
// The order of the locks, R7: slow -> context -> fast -> writer. What breaks it is refused at run
// time, in every build.
#ifndef XLSTORE_STORE_LOCK_LOCK_ORDER_HPP_
#define XLSTORE_STORE_LOCK_LOCK_ORDER_HPP_

#include <atomic>
#include <memory>
#include <string_view>

#include "store/base/error.hpp"

namespace xlstore {

enum class LockKind { slow, fast, writer, destroy, session };
[[nodiscard]] std::string_view lock_name(LockKind kind) noexcept;

/// R7 at run time: what this thread is inside of. Sections and the context lock are synchronous,
/// so a count per thread is the whole truth; a slow hold belongs to an operation, not a thread.
class LockOrder {
public:
    static Result<void> may_take(LockKind kind);
    static Result<void> context_enter();
    static Result<void> context_leave();
    /// The blocking form of an operation waits for a slow lock: never inside anything.
    static Result<void> may_block();

    /// Under an explicit fast hold nothing else may run on this thread.
    static Result<void> may_dispatch();

    /// Marks that this thread holds a fast lock over several calls: only the writer lock may be
    /// asked for. It may end in another thread, and marks the one that it began in until then.
    class FastHeld {
    public:
        FastHeld();
        FastHeld(const FastHeld&) = delete;
        FastHeld& operator=(const FastHeld&) = delete;
        ~FastHeld();

    private:
        std::shared_ptr<std::atomic<int>> taken_in_;
    };
    /// Marks a fast section or a stretch under the writer lock.
    class Section {
    public:
        Section() noexcept;
        Section(const Section&) = delete;
        Section& operator=(const Section&) = delete;
        ~Section();
    };
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_LOCK_LOCK_ORDER_HPP_
