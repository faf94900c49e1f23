// SPDX-License-Identifier: MIT
// What a living QEMU has, by its own lists: the names of everything that this library can ask for,
// and what is in its drives. Each list has to be what was asked for; silence and nonsense are
// errors, never an empty list.
#ifndef XLSTORE_STORE_QMP_INVENTORY_HPP_
#define XLSTORE_STORE_QMP_INVENTORY_HPP_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "store/model/plan.hpp"
#include "store/qmp/monitor.hpp"

namespace xlstore {

// Every list is bounded (limits::listed_names_max, listed_bytes_max): a longer one is an error of
// code protocol, and nothing is concluded from it. The lists of names and of descriptor sets are
// kept with the connection for as long as they stand; see store/qmp/listing.hpp.

/// Counts what a list names: no list is longer than what can honestly be in a QEMU.
class ListBound {
public:
    /// `list`: "QEMU's answer to query-block", say; the subject of the error.
    explicit ListBound(std::string list) : list_(std::move(list)) {}
    /// One more name, of so many bytes. Error protocol: now there are too many.
    Result<void> count(std::size_t bytes);

private:
    std::string list_;
    std::size_t names_ = 0;
    std::size_t bytes_ = 0;
};
/// The elements of QEMU's answer to `command`, an array. Error protocol: it is none, or too long.
Result<std::vector<std::string_view>> listed(std::string_view answer, const std::string& command);

/// The value of a query's reply; Protocol has checked it (size, depth, duplicate keys).
/// Errors: protocol (silence, hang-up, a refusal).
Task<Result<std::string>> query(qmp::Monitor& monitor, std::string command, std::string arguments,
                                Deadline until);
[[nodiscard]] Error no_answer(const std::string& command);

/// A member of a QOM object, as qom-list has it: "child<usb-tablet>", "link<bus>", "str" …
using QomMembers = std::map<std::string, std::string>;  // type by name
Task<Result<QomMembers>> qom_members(qmp::Monitor& monitor, std::string path, Deadline until);
/// The type of a child, without "child<>"; nothing: it is none.
[[nodiscard]] std::optional<std::string> child_type(std::string_view member_type);

inline constexpr std::string_view kPeripherals = "/machine/peripheral";
inline constexpr std::string_view kObjects = "/objects";

/// Of what QEMU lists, the type by name: of a device or an object its QOM type, of a block node its
/// driver, otherwise "".
using TypeByName = std::map<std::string, std::string>;

/// What QEMU is asked for all names of one kind; nothing: it has no question for it.
[[nodiscard]] std::optional<qmp::Question> question_of_kind(std::string_view kind);
/// All names of one kind: device, anonymous (a device without id), node, chardev, object, netdev.
/// QEMU is asked.
Task<Result<TypeByName>> names_of_kind(qmp::Monitor& monitor, std::string kind, Deadline until);

using qmp::DescriptorSets;
Task<Result<DescriptorSets>> descriptor_sets(qmp::Monitor& monitor, Deadline until);

enum class Freshness {
    anew,    ///< what a guest may take away at any time
    if_new,  ///< by the list that the connection has, if it still stands
};
/// Whether QEMU has a thing of that kind and name.
Task<Result<bool>> has_name(qmp::Monitor& monitor, Product product, Freshness freshness,
                            Deadline until);

/// What is in the drives.
struct Drives {
    struct Drive {
        std::string id;
        std::optional<std::string> file;  ///< as QEMU names it; nothing: empty
        std::string format;               ///< of what is in it, as QEMU names its driver
        bool locked = false;              ///< by its guest: the tray opens when the guest opens it
        bool tray_open = false;
        bool removable = false;           ///< a medium can be changed, or no device has it
    };
    std::vector<Drive> drives;
    DescriptorSets sets;  ///< that media came by

    [[nodiscard]] const Drive* find(std::string_view id) const;
    /// Does the drive hold the medium "raw:/a.iso"? By the name of its descriptor set; or, for a
    /// medium that came by its path, by path and format.
    [[nodiscard]] bool holds(const Drive& drive, const std::string& medium) const;
    /// What a drive holds, as "format:name", in libxl's words: the name of its descriptor set, if
    /// it came by one.
    [[nodiscard]] std::string medium_in(const Drive& drive) const;
    /// `file` for people: printable, bounded.
    [[nodiscard]] std::string shown(const std::string& file) const;
};
Task<Result<Drives>> query_drives(qmp::Monitor& monitor, Deadline until);

/// All of it at one time; as a whole it has the bound of one list, since rows keep it.
struct Inventory {
    std::map<std::string, TypeByName, std::less<>> names;  // by kind
    Drives drives;                                         // with the sets that media came by
    /// Of each PCI device that is passed through, by its id, the host's device ("0000:03:00.0"):
    /// libxl's id does not tell two PCI segments apart. Nothing of one of which QEMU does not say.
    std::map<std::string, std::string> host_pci = {};

    [[nodiscard]] bool has(std::string_view kind, const std::string& name) const;
    /// "" where it is not there, or has none.
    [[nodiscard]] std::string type_of(std::string_view kind, const std::string& name) const;
};
Task<Result<Inventory>> take_inventory(qmp::Monitor& monitor, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_QMP_INVENTORY_HPP_
