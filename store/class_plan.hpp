// SPDX-License-Identifier: MIT
// What each device class sends to QEMU, as drafts for the engine: plan, undo and probe. Pure
// functions of the entry and the request. The commands, ids and their order are libxl's own.
#ifndef XLSTORE_STORE_CLASS_PLAN_HPP_
#define XLSTORE_STORE_CLASS_PLAN_HPP_

#include <string>
#include <string_view>

#include "store/domain.hpp"
#include "store/intent.hpp"

namespace xlstore {

/// An add of the thing `json` (as it came). Errors: invalid (not JSON, unknown class, a class that
/// cannot be attached while the domain runs, or a thing that the class cannot make).
Result<Draft> draft_attach(std::string_view device_class, std::string_view json);
/// A removal of `entry`.
Result<Draft> draft_detach(const ThingRow& entry);
/// Another medium in the CD drive `entry`, or none. Error invalid: it is no CD drive that QEMU has.
Result<Draft> draft_insert(const ThingRow& entry, std::string_view file);
Result<Draft> draft_eject(const ThingRow& entry);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CLASS_PLAN_HPP_
