// SPDX-License-Identifier: MIT
// Where QEMU put a device that a plan made. A plan may leave the place to QEMU (device_add without
// addr, port, lun …); a guest sees that place, a migration stream names it, and so a thing that is
// put back into another QEMU has to get the same one. An entry keeps it beside its JSON, which
// stays as the caller wrote it: an object by device id of the arguments that name the place again,
// {"rng":{"bus":"pci.0","addr":"02.0"}}.
#ifndef XLSTORE_STORE_QMP_ADDRESS_HPP_
#define XLSTORE_STORE_QMP_ADDRESS_HPP_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "store/model/plan.hpp"
#include "store/qmp/monitor.hpp"

namespace xlstore {

/// A device of QEMU's, as qom-list and qom-get describe it.
struct PlacedDevice {
    std::map<std::string, std::string> types;   ///< of its properties, by name
    std::map<std::string, std::string> values;  ///< of those that were asked for, as JSON
    std::string usb_port;                       ///< that it is plugged into; "": not known, or none
};

/// The properties of a device that have to be asked for before address_of(): those of `types` that
/// name a place. Pure.
[[nodiscard]] std::vector<std::string> placing_properties(
    const std::map<std::string, std::string>& types);
/// The arguments of device_add that name the place of `device`, as a JSON object; "{}": it has
/// none. Pure.
[[nodiscard]] std::string address_of(const PlacedDevice& device);
/// The port of the USB device `id`, out of what "info usb" printed; "": it is not there, or more
/// than one line claims that id. Pure.
[[nodiscard]] std::string usb_port_of(std::string_view info_usb, std::string_view id);

/// Asks where the devices among `products` are. An object by device id, minified; "": there is
/// nothing to say (no device with an id, or QEMU did not answer: then nothing is guessed).
/// Sends queries only.
Task<std::string> query_addresses(qmp::Monitor& monitor, std::vector<Product> products,
                                  Deadline until);

/// `plan` with the places that `addresses` (an object by device id, or "") names for the devices
/// that it makes. An argument that the plan has itself stays. Pure.
[[nodiscard]] Plan placed_at(Plan plan, std::string_view addresses);

/// An object by device id as an entry may keep it. Error invalid, naming what is wrong: it came
/// from elsewhere, and its members become arguments of device_add.
Result<void> check_addresses(std::string_view minified);

/// For people: "rng at bus pci.0, addr 02.0".
[[nodiscard]] std::string shown_addresses(std::string_view addresses);

}  // namespace xlstore

#endif  // XLSTORE_STORE_QMP_ADDRESS_HPP_
