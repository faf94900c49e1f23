// SPDX-License-Identifier: MIT
#include "store/wall_clock.hpp"

#include <ctime>

namespace xlstore {

std::int64_t now_us()
{
    timespec t{};
    clock_gettime(CLOCK_REALTIME, &t);
    return std::int64_t{t.tv_sec} * 1'000'000 + t.tv_nsec / 1000;
}

}  // namespace xlstore
