// SPDX-License-Identifier: MIT
// integrity_of() in a thread of its own, over a connection of its own.
#ifndef XLSTORE_RECOVERY_SALVAGE_INTEGRITY_BESIDE_HPP_
#define XLSTORE_RECOVERY_SALVAGE_INTEGRITY_BESIDE_HPP_

#include <atomic>
#include <exception>
#include <memory>
#include <thread>

#include "recovery/salvage/integrity.hpp"

namespace xlstore::recovery {

class IntegrityBeside {
public:
    /// Begins, if there is a connection and a thread is to be had. Signals are left to the other
    /// threads. `connection`: the thread's alone from now on.
    explicit IntegrityBeside(std::unique_ptr<Db> connection);
    IntegrityBeside(const IntegrityBeside&) = delete;
    IntegrityBeside& operator=(const IntegrityBeside&) = delete;
    ~IntegrityBeside();  ///< waits for its end

    [[nodiscard]] bool has_begun() const noexcept { return thread_.joinable(); }
    /// It is through, and what stands in the rows counts for nothing.
    [[nodiscard]] bool has_found_damage() const noexcept { return has_found_damage_; }
    /// What it found; waits for its end. REQUIRES has_begun(), and is called once.
    /// @throws what integrity_of() throws
    Integrity found();

private:
    void look() noexcept;

    std::unique_ptr<Db> connection_;
    Integrity found_;
    std::exception_ptr thrown_;
    std::atomic<bool> has_found_damage_ = false;
    std::thread thread_;  // last: it uses the others
};

/// While one lives, a statement of `db` ends with DbError once damage was found beside it: pages of
/// which each names the same ones would keep it busy for ever. REQUIRES that `db` belongs to
/// another thread than the check's.
class EndsAtDamage {
public:
    EndsAtDamage(Db& db, const IntegrityBeside& integrity) noexcept;
    EndsAtDamage(const EndsAtDamage&) = delete;
    EndsAtDamage& operator=(const EndsAtDamage&) = delete;
    ~EndsAtDamage();

private:
    Db& db_;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_INTEGRITY_BESIDE_HPP_
