// SPDX-License-Identifier: MIT
// The registration of a domain's QEMU in its row: written by one function, cleared by one function,
// with everything that is known of that QEMU alone. Both REQUIRE the writer lock.
#ifndef XLSTORE_STORE_CORE_REGISTRATION_ROW_HPP_
#define XLSTORE_STORE_CORE_REGISTRATION_ROW_HPP_

#include <string>

#include "store/core/store.hpp"
#include "store/model/domain_row.hpp"
#include "store/qmp/monitor.hpp"

namespace xlstore {

/// The domain has this QEMU from now on (R11). Nothing of an earlier one is left: neither its
/// columns nor its initial devices (R19); those of this one are not known yet. `log_path`: what it
/// writes to; "" when that is not known. Error exists: it is registered as another domain's.
Result<void> put_registration(Db& db, DomainId domain, const qmp::Registration& registration,
                              const std::string& log_path);

/// The domain has no QEMU from now on. The path of its log stays: that may outlive it.
void clear_registration(Db& db, DomainId domain);

/// What is said to a caller that needs the QEMU of a domain without one. Of a domain of another
/// boot no QEMU can be registered that was its own: recovery ends it. Error no_qemu.
[[nodiscard]] Error no_qemu_of(const DomainRow& domain, const std::string& boot_here);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_REGISTRATION_ROW_HPP_
