// SPDX-License-Identifier: MIT
// A full disk for one process: no file grows above a size, and what is within it can be written.
#ifndef XLSTORE_TESTS_SUPPORT_NO_GROWTH_HPP_
#define XLSTORE_TESTS_SUPPORT_NO_GROWTH_HPP_

#include <signal.h>
#include <sys/resource.h>

#include <cstdint>

namespace xlstore::test {

/// While one lives, no file of this process grows above `bytes`: writes fail, as on a full disk.
class NoGrowth {
public:
    explicit NoGrowth(std::uintmax_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN))
    {
        getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit now{bytes, before_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &now);
    }
    NoGrowth(const NoGrowth&) = delete;
    NoGrowth& operator=(const NoGrowth&) = delete;
    ~NoGrowth()
    {
        setrlimit(RLIMIT_FSIZE, &before_);
        signal(SIGXFSZ, handler_);
    }

private:
    rlimit before_{};
    sighandler_t handler_;
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_NO_GROWTH_HPP_
