// SPDX-License-Identifier: MIT
// What libxl fills in when it hot-plugs a thing, and keeps in the document: of a USB controller
// type, version and ports, of a PCI device the policy for reserved memory and the place that QEMU
// chose. Of what a domain is created with libxl keeps the caller's own text, and so does a
// creation here. Pure functions.
#ifndef XLSTORE_STORE_CLASSES_LIBXL_DEFAULTS_HPP_
#define XLSTORE_STORE_CLASSES_LIBXL_DEFAULTS_HPP_

#include <string>
#include <string_view>

#include "store/base/error.hpp"

namespace xlstore {

/// The element `json` (minified) as libxl would keep it when it is attached to a running HVM
/// domain. Members that are there stay, new ones stand where libxl writes them. Error invalid: what
/// libxl itself refuses (a number of ports that the controller cannot have).
Result<std::string> with_libxl_defaults(std::string_view device_class, std::string_view json);

/// The same once it is known where QEMU put its device: `addresses` as the entry keeps them
/// (store/qmp/address.hpp). A PCI device gets `vdevfn`; what has one, and things of other classes,
/// stay as they are.
[[nodiscard]] std::string with_place_of(std::string_view device_class, std::string_view json,
                                        std::string_view addresses);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CLASSES_LIBXL_DEFAULTS_HPP_
