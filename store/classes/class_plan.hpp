// SPDX-License-Identifier: MIT
// What each device class sends to QEMU, as drafts for the engine: plan, undo and probe; and what
// its things are called there. Pure functions of the entry and the request. The commands, ids and
// their order are libxl's own.
#ifndef XLSTORE_STORE_CLASSES_CLASS_PLAN_HPP_
#define XLSTORE_STORE_CLASSES_CLASS_PLAN_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"
#include "store/model/intent.hpp"
#include "store/model/made_of.hpp"
#include "store/model/thing_row.hpp"

namespace xlstore {

/// QEMU's driver for a USB controller of that version; "" for one that libxl does not know.
[[nodiscard]] std::string_view usbctrl_driver(std::int64_t version) noexcept;

/// A place for a processor, as query-hotpluggable-cpus has it.
struct VcpuSlot {
    std::string driver;
    std::string props;                    ///< JSON
    std::optional<std::string> qom_path;  ///< of the one that is in it
};
/// In the order in which QEMU numbers its processors.
[[nodiscard]] std::vector<VcpuSlot> vcpu_slots(std::string_view answer);
/// The vcpu `json` as its entry says it, with what QEMU named for its slot.
[[nodiscard]] std::string vcpu_in_slot(std::string_view json, const VcpuSlot& slot);

/// Whether libxl knows a disk of that name: "xvda", "hdc", "sdb1", "d5".
[[nodiscard]] bool is_vdev(std::string_view name);
/// QEMU's id of the CD drive that `entry` is; nothing: it is none.
[[nodiscard]] std::optional<std::string> drive_of(const ThingRow& entry);
/// The medium that a disk's JSON names, "raw:/a.iso"; nothing for an empty drive.
[[nodiscard]] std::optional<std::string> medium_of(std::string_view disk);
[[nodiscard]] std::string with_medium(std::string_view disk, std::string_view path,
                                      std::string_view format);
/// What the thing of `entry` is made of in QEMU, by its class; nothing known: none. For what the
/// store knows better: made_of(), store/core/product.hpp.
[[nodiscard]] std::vector<Product> products_of(const ThingRow& entry);

/// What the thing `json` (as it came) will be called. Errors: invalid (not JSON, unknown class, or
/// its key cannot be told).
Result<ThingName> name_of_attach(std::string_view device_class, std::string_view json);
/// An add of the thing `json` (as it came). Errors: invalid (not JSON, unknown class, a class that
/// cannot be attached while the domain runs, or a thing that the class cannot make).
Result<Draft> draft_attach(std::string_view device_class, std::string_view json);
/// The same of a domain that runs: the entry gets what libxl fills in then (libxl_defaults.hpp).
/// Errors besides: invalid, a member has another type than in libxl (libxl_types.hpp).
Result<Draft> draft_hot_plug(std::string_view device_class, std::string_view json);
/// An add of the vcpu `json` ({"index": N}): driver and properties are what QEMU itself names for
/// that slot (`slots`: its answer to query-hotpluggable-cpus), and become part of the thing.
Result<Draft> draft_attach_vcpu(std::string_view json, std::string_view slots);
/// A removal of `entry`, by the products that were stored when it was added
/// (store/core/product.hpp): libxl's own ids may have drifted since (the address of a USB device on
/// the host). Of a stale entry without any the probe alone: it goes when QEMU is seen to have
/// nothing of it. Error invalid: nothing is known that could be taken out or asked for.
Result<Draft> draft_detach(const ThingRow& entry, const MadeOf& made);
/// The CD drive `entry` with the medium that `image_after`, its JSON as it will be, names.
Result<Draft> draft_change(const ThingRow& entry, std::string image_after);
/// Another medium in the CD drive `entry`, or none. Error invalid: it is no CD drive that QEMU has.
Result<Draft> draft_insert(const ThingRow& entry, std::string_view file);
Result<Draft> draft_eject(const ThingRow& entry);

/// The step at which a guest that keeps the tray shut stands in the way of the two: QEMU asks it to
/// open the tray, and refuses.
[[nodiscard]] bool opens_tray(const Command& command) noexcept;
/// The tray is opened against the guest's will.
void open_by_force(Plan& plan);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CLASSES_CLASS_PLAN_HPP_
