// SPDX-License-Identifier: MIT
#include "store/base/clock.hpp"

#include <ctime>

namespace xlstore {

namespace {

std::int64_t time_us(clockid_t clock)
{
    timespec t{};
    clock_gettime(clock, &t);
    return std::int64_t{t.tv_sec} * 1'000'000 + t.tv_nsec / 1000;
}

}  // namespace

std::int64_t now_us()
{
    return time_us(CLOCK_REALTIME);
}

std::int64_t since_boot_us()
{
    return time_us(CLOCK_BOOTTIME);
}

}  // namespace xlstore
