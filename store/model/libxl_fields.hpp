// SPDX-License-Identifier: MIT
// Where libxl writes a member of its structures. libxl prints a structure in the order of its
// declaration, without the members that have their default value, and reads them in any order; a
// member that the library adds stands where libxl's own next write would put it, so that the
// exported text is libxl's. Only structures that the library adds members to are known here. The
// order is that of Xen 4.17 with what later versions put between. Constant data and pure functions;
// any thread.
#ifndef XLSTORE_STORE_MODEL_LIBXL_FIELDS_HPP_
#define XLSTORE_STORE_MODEL_LIBXL_FIELDS_HPP_

#include <span>
#include <string>
#include <string_view>

namespace xlstore {

/// The members of the structure at `place` ("c_info", "b_info"; "disks", "pcidevs", "usbctrls": one
/// element) in libxl's order. Empty: the place is not known here.
[[nodiscard]] std::span<const std::string_view> libxl_fields(std::string_view place);

/// As json_with_member(), but a new member of the structure at `place` stands directly behind the
/// nearest of those that libxl writes before it; in front, if there is none of them. A member or
/// place that is not known here is appended. Members that are there keep their order.
[[nodiscard]] std::string with_libxl_member(std::string_view place, std::string_view object_text,
                                            std::string_view key, std::string_view value_text);

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_LIBXL_FIELDS_HPP_
