// SPDX-License-Identifier: MIT
// What a device model on Xen makes by itself, when the toolstack writes a backend's entry into
// xenstore: the one written rule (xlfsck(8) says it in words). Such a thing belongs to the entry in
// xenstore that caused it and comes and goes with that: it is neither unknown, nor adopted, nor
// ever taken out of QEMU (R19). A pure function.
#ifndef XLSTORE_STORE_CLASSES_DEVICE_MODEL_HPP_
#define XLSTORE_STORE_CLASSES_DEVICE_MODEL_HPP_

#include <string_view>

namespace xlstore {

/// `kind` as in store/model/plan.hpp. `type`: of a device or an object its QOM type, of a block
/// node its driver; a name alone proves nothing: a toolstack may give one like it to something of
/// its own.
[[nodiscard]] bool is_of_device_model(std::string_view kind, std::string_view name,
                                      std::string_view type) noexcept;

}  // namespace xlstore

#endif  // XLSTORE_STORE_CLASSES_DEVICE_MODEL_HPP_
