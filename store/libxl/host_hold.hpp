// SPDX-License-Identifier: MIT
// The companions of the store's slow lock where libxl owns the domain: its lock on changes of
// devices and the one on its monitor, taken together in libxl's order. While one is held, xl and
// libvirt neither talk to this QEMU nor change a CD, and each of them waits for the other as it
// waits for itself.
#ifndef XLSTORE_STORE_LIBXL_HOST_HOLD_HPP_
#define XLSTORE_STORE_LIBXL_HOST_HOLD_HPP_

#include <optional>
#include <string>

#include "store/base/error.hpp"
#include "store/event/loop.hpp"
#include "store/libxl/host_lock.hpp"
#include "store/model/domain_row.hpp"

namespace xlstore::libxl {

class HostHold {
public:
    /// Nothing is held: it is no domain of libxl's.
    HostHold() noexcept = default;

    /// Before a connection to `monitor` is made. Empty where the path is not one that libxl gives
    /// (HostDirectories::of_monitor), or where this host has no directory of libxl's. Errors: busy,
    /// naming the holder; io. Nothing is held then.
    static Task<Result<HostHold>> take(Loop& loop, std::string monitor, FileOwner domain,
                                       Deadline until);

    /// Beside the slow lock of `domain`, for the monitor that is registered for it. Empty, too,
    /// where none is.
    static Task<Result<HostHold>> take_for(Loop& loop, const DomainRow& domain, Deadline until);

    explicit operator bool() const noexcept { return monitor_.has_value(); }
    /// As HostLock has it.
    void leave_as_found() noexcept;

private:
    // The last one taken is given back first.
    std::optional<HostLock> changes_;
    std::optional<HostLock> monitor_;
};

}  // namespace xlstore::libxl

#endif  // XLSTORE_STORE_LIBXL_HOST_HOLD_HPP_
