// SPDX-License-Identifier: MIT
// The initial devices of a domain's QEMU: what it was started with. They need no entry; everything
// else in it does (R1). They are written anew with each registration (R19), and kept in a table of
// their own, so that no other commit rewrites them; there are no more of them than an inventory may
// have (R20). Reading and writing REQUIRE what the
// functions of Db do; the rest are pure functions.
#ifndef XLSTORE_STORE_CORE_INITIAL_DEVICES_HPP_
#define XLSTORE_STORE_CORE_INITIAL_DEVICES_HPP_

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/core/store.hpp"
#include "store/qmp/inventory.hpp"
#include "store/qmp/qemu_command_line.hpp"

namespace xlstore {

struct InitialDevices {
    /// On what the list rests.
    enum class From {
        creation,      ///< QEMU's own lists before anything was added to it
        command_line,  ///< of what it had at its registration, what its command line made
        listed,        ///< all that it had when release 0.1 registered it
        unknown,       ///< it is not all: what is neither on it nor in an entry may be initial
    };
    From from = From::unknown;
    std::map<std::string, std::set<std::string>, std::less<>> names;  ///< by kind (plan.hpp)
    std::map<std::string, std::string> media;                         ///< file by drive

    [[nodiscard]] bool has(std::string_view kind, const std::string& name) const;
    /// It holds what it held at the start, and neither store nor adoption has changed that since.
    [[nodiscard]] bool has_medium(const Drives::Drive& drive) const;
    [[nodiscard]] bool known() const noexcept { return from != From::unknown; }
};

/// All that is there.
[[nodiscard]] InitialDevices initial_of_creation(const Inventory& there);
/// Of what is there, what `line` made; `unknown` when `line` has a gap.
[[nodiscard]] InitialDevices initial_of_command_line(const QemuCommandLine& line,
                                                     const Inventory& there);

/// What is kept of `domain`; `unknown` and empty when that is nothing.
[[nodiscard]] InitialDevices read_initial_devices(Db& db, DomainId domain);
/// REQUIRES the writer lock. In place of all that is kept of `domain`.
void write_initial_devices(Db& db, DomainId domain, const InitialDevices& initial);
/// REQUIRES the writer lock. As if `domain` had no QEMU.
void forget_initial_devices(Db& db, DomainId domain);
/// What `initial` lists and QEMU has no more: another device may get such a name later.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> absent_initial_devices(
    const InitialDevices& initial, const Inventory& there);
/// REQUIRES the writer lock. What has that name from now on was made later.
void forget_initial_device(Db& db, DomainId domain, const std::string& kind,
                           const std::string& name);
/// REQUIRES the writer lock. What is in the drive from now on was put there, or is in its entry.
void forget_initial_medium(Db& db, DomainId domain, const std::string& drive);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_INITIAL_DEVICES_HPP_
