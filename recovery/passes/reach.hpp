// SPDX-License-Identifier: MIT
// A running domain's QEMU, reached under the domain's slow lock: from the first look to the last
// act no other process changes what is in it. Only looking (-n), it is the same lock in
// shared mode, on a read-only descriptor, and a connection over which nothing but queries goes.
#ifndef XLSTORE_RECOVERY_PASSES_REACH_HPP_
#define XLSTORE_RECOVERY_PASSES_REACH_HPP_

#include <optional>
#include <string>

#include "recovery/base/check.hpp"
#include "store/core/store.hpp"
#include "store/libxl/host_hold.hpp"
#include "store/lock/lock_file.hpp"
#include "store/model/domain_row.hpp"
#include "store/operation/engine.hpp"
#include "store/qmp/monitor.hpp"

namespace xlstore::recovery {

class Reached {
public:
    static Task<Reached> reach(const Check& check, Store& store, DomainRow domain);

    explicit operator bool() const noexcept { return engine_ || looker_; }
    /// A living process is at work on the domain: it is left alone.
    [[nodiscard]] bool owned() const noexcept { return owned_; }
    /// Why it was not reached: the owner, or what went wrong.
    [[nodiscard]] const std::string& why() const noexcept { return why_; }
    /// The domain's own deadline, from the first attempt to reach it to its last act (R20). Only
    /// the time that a human takes to answer is added to it.
    [[nodiscard]] Deadline deadline() const { return deadline_ + check_->asked_for(); }
    /// What is left of the domain has been reported as left.
    void leave_the_rest() noexcept { rest_left_ = true; }
    [[nodiscard]] bool rest_is_left() const noexcept { return rest_left_; }
    /// REQUIRES that it was reached.
    [[nodiscard]] qmp::Monitor& monitor() { return engine_ ? engine_->monitor() : *looker_; }
    /// Null when only looking.
    [[nodiscard]] Engine* engine() noexcept { return engine_ ? &*engine_ : nullptr; }

private:
    explicit Reached(const Check& check)
        : check_(&check), deadline_(check.deadline() - check.asked_for())
    {}

    const Check* check_;
    Deadline deadline_;
    std::optional<Engine> engine_;
    std::optional<ByteLock> shared_;
    libxl::HostHold beside_;  // of the looker's connection, which ends before it
    std::optional<qmp::Monitor> looker_;
    bool owned_ = false;
    bool rest_left_ = false;
    std::string why_;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_PASSES_REACH_HPP_
