// SPDX-License-Identifier: MIT
// The row is read under the lock, not before it: while the caller waited for the lock the domain
// may have got another QEMU, or an end. A connection that broke is made anew first and asked about
// second: only a process that is connected keeps every other client out of the monitor, so that an
// answer of the store's about the hold lasts.
#include "store/operation/held_qemu.hpp"

#include "store/core/registration_row.hpp"
#include "store/testing/trace.hpp"

namespace xlstore {

HeldQemu::HeldQemu(Store& store, DomainRow domain, SlowHold hold, qmp::Monitor monitor,
                   libxl::HostHold beside)
    : store_(&store),
      journal_(store),
      domain_(std::move(domain)),
      hold_(std::move(hold)),
      beside_(std::move(beside)),
      monitor_(std::move(monitor))
{}

Task<Result<HeldQemu>> HeldQemu::connect(Store& store, DomainRow domain, SlowHold hold,
                                         std::vector<qmp::Question> ahead, Deadline until)
{
    // Read again now that the lock is held: the domain may have got another QEMU, or an end.
    auto row = read_domain(store.db(), domain.id);
    if (!row || row->state == DomainState::destroying || row->state == DomainState::destroyed)
        co_return Error(Errc::gone, domain.subject() + " was destroyed or is being destroyed (R8)");
    if (!row->registration) co_return no_qemu_of(*row, store.self().boot_id);
    const libxl::FileOwner owner{row->domid, row->uuid};
    auto beside =
        co_await libxl::HostHold::take(store.loop(), row->registration->path, owner, until);
    if (!beside) co_return std::move(beside).error();
    auto monitor = co_await qmp::Monitor::connect_asking(
        store.loop(), store.qemus(), *row->registration, row->subject(), std::move(ahead), until);
    if (!monitor) co_return std::move(monitor).error();
    XLSTORE_TRACE("connected", value_of(domain.id));
    co_return HeldQemu(store, *std::move(row), std::move(hold), *std::move(monitor),
                       *std::move(beside));
}

Task<Result<void>> HeldQemu::stay_connected(Deadline until)
{
    if (monitor_.usable()) co_return Result<void>();
    auto monitor = co_await qmp::Monitor::connect(store_->loop(), *domain_.registration,
                                                  domain_.subject(), until);
    if (!monitor) co_return std::move(monitor).error();
    // R15: while no client was connected, a successor may have begun, and what is in QEMU may be
    // its own. Asked now that no successor can be connected, the answer lasts as long as this does.
    if (auto ours = journal_.still_held(hold_); !ours) co_return ours;
    XLSTORE_TRACE("connected", value_of(domain_.id));
    monitor_ = *std::move(monitor);
    co_return Result<void>();
}

}  // namespace xlstore
