// SPDX-License-Identifier: MIT
#include "recovery/salvage/integrity_beside.hpp"

#include <pthread.h>
#include <sqlite3.h>

#include <csignal>
#include <system_error>
#include <utility>

namespace xlstore::recovery {

namespace {

constexpr int kStepsBetweenLooks = 100'000;  // of SQLite's, some milliseconds

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
        has_found_damage_ = !found_.lines.empty() && !found_.rows_alone;
    } catch (const DbError& e) {
        has_found_damage_ = is_damage(e);
        thrown_ = std::current_exception();
    } catch (...) {
        thrown_ = std::current_exception();
    }
}

Integrity IntegrityBeside::found()
{
    thread_.join();
    connection_.reset();
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
    return std::move(found_);
}

EndsAtDamage::EndsAtDamage(Db& db, const IntegrityBeside& integrity) noexcept : db_(db)
{
    sqlite3_progress_handler(
        db_.handle(), kStepsBetweenLooks,
        [](void* of) {
            return static_cast<const IntegrityBeside*>(of)->has_found_damage() ? 1 : 0;
        },
        const_cast<IntegrityBeside*>(&integrity));
}

EndsAtDamage::~EndsAtDamage()
{
    sqlite3_progress_handler(db_.handle(), 0, nullptr, nullptr);
}

}  // namespace xlstore::recovery
