// SPDX-License-Identifier: MIT
#include "store/libxl/host_hold.hpp"

#include "store/base/file_identity.hpp"

namespace xlstore::libxl {

Task<Result<HostHold>> HostHold::take(Loop& loop, std::string monitor, FileOwner domain,
                                      Deadline until)
{
    HostHold hold;
    const auto where = HostDirectories::of_monitor(monitor, domain.domid);
    if (!where || !file_identity(where->lib())) co_return std::move(hold);
    auto changes = co_await HostLock::take(
        loop, lock_path(*where, domain, HostLockKind::device_changes), until);
    if (!changes) co_return std::move(changes).error();
    hold.changes_ = *std::move(changes);
    auto socket =
        co_await HostLock::take(loop, lock_path(*where, domain, HostLockKind::qmp_socket), until);
    if (!socket) co_return std::move(socket).error();
    hold.monitor_ = *std::move(socket);
    co_return std::move(hold);
}

Task<Result<HostHold>> HostHold::take_for(Loop& loop, const DomainRow& domain, Deadline until)
{
    if (!domain.registration) co_return HostHold();
    FileOwner owner{domain.domid, domain.uuid};
    co_return co_await take(loop, domain.registration->path, std::move(owner), until);
}

void HostHold::leave_as_found() noexcept
{
    if (changes_) changes_->leave_as_found();
    if (monitor_) monitor_->leave_as_found();
}

}  // namespace xlstore::libxl
