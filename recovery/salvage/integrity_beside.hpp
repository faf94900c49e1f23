// SPDX-License-Identifier: MIT
// integrity_of() in a thread of its own, over a connection of its own.
#ifndef XLSTORE_RECOVERY_SALVAGE_INTEGRITY_BESIDE_HPP_
#define XLSTORE_RECOVERY_SALVAGE_INTEGRITY_BESIDE_HPP_

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
    /// What it found; waits for its end. REQUIRES has_begun(), and is called once.
    /// @throws what integrity_of() throws
    Integrity found();

private:
    void look() noexcept;

    std::unique_ptr<Db> connection_;
    Integrity found_;
    std::exception_ptr thrown_;
    std::thread thread_;  // last: it uses the others
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_INTEGRITY_BESIDE_HPP_
