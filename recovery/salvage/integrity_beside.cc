// SPDX-License-Identifier: MIT
#include "recovery/salvage/integrity_beside.hpp"

#include <pthread.h>

#include <csignal>
#include <system_error>
#include <utility>

namespace xlstore::recovery {

namespace {

// A thread begins with the mask of the one that makes it.
class SignalsLeftToOthers {
public:
    SignalsLeftToOthers() noexcept
    {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    SignalsLeftToOthers(const SignalsLeftToOthers&) = delete;
    SignalsLeftToOthers& operator=(const SignalsLeftToOthers&) = delete;
    ~SignalsLeftToOthers() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_{};
};

}  // namespace

IntegrityBeside::IntegrityBeside(std::unique_ptr<Db> connection)
    : connection_(std::move(connection))
{
    if (!connection_) return;
    const SignalsLeftToOthers masked;
    try {
        thread_ = std::thread([this] { look(); });
    } catch (const std::system_error&) {
        connection_.reset();  // a limit of processes: the caller looks by itself
    }
}

IntegrityBeside::~IntegrityBeside()
{
    if (thread_.joinable()) thread_.join();
}

void IntegrityBeside::look() noexcept
{
    try {
        found_ = integrity_of(*connection_);
    } catch (...) {
        thrown_ = std::current_exception();
    }
}

Integrity IntegrityBeside::found()
{
    thread_.join();
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
    return std::move(found_);
}

}  // namespace xlstore::recovery
