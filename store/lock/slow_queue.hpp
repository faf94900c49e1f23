// SPDX-License-Identifier: MIT
// Those of one process who wait for slow locks. Of those who wait for the same lock only the first
// tries to take it, and has descriptors open for that; the others stand behind it in the order in
// which they came, and cost neither descriptors nor wake-ups. Between processes the kernel's lock
// decides.
#ifndef XLSTORE_STORE_LOCK_SLOW_QUEUE_HPP_
#define XLSTORE_STORE_LOCK_SLOW_QUEUE_HPP_

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>

#include "store/event/loop.hpp"
#include "store/lock/lock_file.hpp"

namespace xlstore {

/// What a session says it waits for.
struct Wait {
    std::int64_t id;  ///< the incarnation whose slow lock it is
    Claim claim;      ///< since: when the wait began
};

/// Belongs to one thread, as the loop does.
class SlowQueue {
public:
    class Place;

    /// How many wait for the slow lock of `id`.
    [[nodiscard]] std::size_t waiting_for(std::int64_t id) const noexcept;
    /// The wait that began first, among those for all locks; null: none.
    [[nodiscard]] const Wait* longest() const noexcept;
    /// For all locks together.
    [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }

private:
    std::list<Place*> all_;                            // as they came
    std::map<std::int64_t, std::list<Place*>> lines_;  // the same, by lock; none is empty
};

/// Stands in the queue for as long as it lives: one that gives up, or has the lock, lets the next
/// go on.
class SlowQueue::Place {
public:
    /// At the end of the line for `wait.id`.
    Place(SlowQueue& queue, Wait wait);
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place();

    [[nodiscard]] const Wait& wait() const noexcept { return wait_; }
    /// How many of this process come before it.
    [[nodiscard]] std::size_t before() const noexcept;
    /// Waits until it is the first in its line. False: the deadline came first.
    Task<bool> turn(Loop& loop, Deadline until);

private:
    friend class SlowQueue;
    SlowQueue& queue_;
    Wait wait_;
    std::list<Place*>::iterator in_all_;
    std::list<Place*>::iterator in_line_;
    Loop::Waiter* waiter_ = nullptr;  // while turn() waits
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_LOCK_SLOW_QUEUE_HPP_
