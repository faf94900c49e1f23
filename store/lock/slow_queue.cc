// SPDX-License-Identifier: MIT
#include "store/lock/slow_queue.hpp"

#include <iterator>
#include <utility>

namespace xlstore {

std::size_t SlowQueue::waiting_for(std::int64_t id) const noexcept
{
    const auto line = lines_.find(id);
    return line == lines_.end() ? 0 : line->second.size();
}

const Wait* SlowQueue::longest() const noexcept
{
    return all_.empty() ? nullptr : &all_.front()->wait_;
}

SlowQueue::Place::Place(SlowQueue& queue, Wait wait) : queue_(queue), wait_(std::move(wait))
{
    in_all_ = queue_.all_.insert(queue_.all_.end(), this);
    try {
        auto& line = queue_.lines_[wait_.id];
        in_line_ = line.insert(line.end(), this);
    } catch (...) {
        if (queue_.waiting_for(wait_.id) == 0) queue_.lines_.erase(wait_.id);
        queue_.all_.erase(in_all_);
        throw;
    }
}

SlowQueue::Place::~Place()
{
    queue_.all_.erase(in_all_);
    const auto at = queue_.lines_.find(wait_.id);
    auto& line = at->second;
    const bool was_first = line.front() == this;
    line.erase(in_line_);
    if (line.empty())
        queue_.lines_.erase(at);
    else if (was_first && line.front()->waiter_)
        line.front()->waiter_->wake();
}

std::size_t SlowQueue::Place::before() const noexcept
{
    const auto& line = queue_.lines_.find(wait_.id)->second;
    return static_cast<std::size_t>(
        std::distance(line.begin(), std::list<Place*>::const_iterator(in_line_)));
}

Task<bool> SlowQueue::Place::turn(Loop& loop, Deadline until)
{
    while (before() > 0 && Clock::now() < until) {
        auto wait = loop.sleep(until);
        waiter_ = &wait;
        co_await wait;
        waiter_ = nullptr;
    }
    co_return before() == 0;
}

}  // namespace xlstore
