// SPDX-License-Identifier: MIT
// How long to wait before the next try: longer after each failure, and never
// the same for two hosts, so that a thousand of them do not come back in the
// same moment.
#ifndef XLSTORE_TOOLS_FLEET_BACKOFF_HPP_
#define XLSTORE_TOOLS_FLEET_BACKOFF_HPP_

#include <algorithm>
#include <chrono>

namespace xlstore::fleet {

class Backoff {
public:
    static constexpr std::chrono::milliseconds kFirst{500};
    static constexpr std::chrono::milliseconds kMost{60000};

    /// `random`: from 0 to 1. Half to one and a half times a span that doubles
    /// with each call.
    std::chrono::milliseconds next(double random)
    {
        const auto span = span_;
        span_ = std::min(span_ * 2, kMost);
        return std::chrono::milliseconds(
            static_cast<std::int64_t>(static_cast<double>(span.count()) * (0.5 + random)));
    }
    void reset() { span_ = kFirst; }

private:
    std::chrono::milliseconds span_ = kFirst;
};

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_BACKOFF_HPP_
