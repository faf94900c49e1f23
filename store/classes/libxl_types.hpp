// SPDX-License-Identifier: MIT
// The types that libxl has the members of an element in. What is read of an element is read by its
// type, so that a member of another one would be passed over: a rate that is a string limits
// nothing, a back end's domain that is one is domain 0. Pure functions.
#ifndef XLSTORE_STORE_CLASSES_LIBXL_TYPES_HPP_
#define XLSTORE_STORE_CLASSES_LIBXL_TYPES_HPP_

#include <string_view>

#include "store/base/error.hpp"

namespace xlstore {

/// Checks each member of the element `json` (minified) that libxl knows, and those of its objects
/// and arrays; null is as good as none. Error invalid, naming the member and its type: libxl
/// passes over one of another JSON type, loses it at the next write, and refuses the document with
/// a value out of range. Classes of which libxl has no elements (qemu, vcpus) pass.
Result<void> check_libxl_types(std::string_view device_class, std::string_view json);

/// A MAC address as libxl writes it: six bytes in hexadecimal.
[[nodiscard]] bool is_mac(std::string_view text);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CLASSES_LIBXL_TYPES_HPP_
