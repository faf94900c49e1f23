// SPDX-License-Identifier: MIT
// A domain under its slow lock, and the proved connection to its QEMU: what every operation on a
// qmp thing works with, from its first probe to its last commit (R3, R11, R12, R15).
#ifndef XLSTORE_STORE_OPERATION_HELD_QEMU_HPP_
#define XLSTORE_STORE_OPERATION_HELD_QEMU_HPP_

#include "store/core/domain.hpp"
#include "store/core/journal.hpp"
#include "store/core/store.hpp"
#include "store/libxl/host_hold.hpp"
#include "store/qmp/monitor.hpp"

namespace xlstore {

class HeldQemu {
public:
    /// Reads the row anew under `hold`, takes libxl's locks that go with it where the monitor is
    /// libxl's, and connects; `ahead` goes with the barrier (Monitor::connect_asking). Errors:
    /// gone, no_qemu, refused, protocol; timeout, naming who holds one of libxl's.
    static Task<Result<HeldQemu>> connect(Store& store, DomainRow domain, SlowHold hold,
                                          std::vector<qmp::Question> ahead, Deadline until);
    /// Over a connection that is there already (creation, right after the barrier).
    HeldQemu(Store& store, DomainRow domain, SlowHold hold, qmp::Monitor monitor,
             libxl::HostHold beside = {});

    /// Connects anew if the connection broke and the hold was not lost meanwhile (R15). Errors as
    /// of connect(), and lost.
    Task<Result<void>> stay_connected(Deadline until);

    [[nodiscard]] const DomainRow& domain() const noexcept { return domain_; }
    [[nodiscard]] Store& store() noexcept { return *store_; }
    [[nodiscard]] SlowHold& hold() noexcept { return hold_; }
    [[nodiscard]] libxl::HostHold& beside() noexcept { return beside_; }
    [[nodiscard]] qmp::Monitor& monitor() noexcept { return monitor_; }
    [[nodiscard]] Loop& loop() noexcept { return store_->loop(); }
    [[nodiscard]] Journal& journal() noexcept { return journal_; }

private:
    Store* store_;
    Journal journal_;
    DomainRow domain_;
    SlowHold hold_;
    libxl::HostHold beside_;  // given back after the connection has ended
    qmp::Monitor monitor_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_HELD_QEMU_HPP_
