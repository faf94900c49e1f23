// SPDX-License-Identifier: MIT
// What a whole document says of where its things are: the type of the domain, and the controllers
// that its USB devices are plugged into. An element alone does not tell: the same CD is QEMU's in
// an HVM domain and xenstore's in a PV domain. Pure functions; any thread.
#ifndef XLSTORE_STORE_MODEL_DOMAIN_TRAITS_HPP_
#define XLSTORE_STORE_MODEL_DOMAIN_TRAITS_HPP_

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

namespace xlstore {

enum class DomainType {
    unknown,  ///< the document does not say, or says what libxl 4.17 to 4.23 does not know
    hvm,
    pv,
    pvh,
};
[[nodiscard]] std::string_view domain_type_name(DomainType type) noexcept;

/// By c_info.type, in either case as libxl reads it; where that is not given by the member
/// "type.hvm", "type.pv" or "type.pvh" of b_info. Both minified, or "".
[[nodiscard]] DomainType domain_type_in(std::string_view c_info, std::string_view b_info);

struct DomainTraits {
    DomainType type = DomainType::unknown;
    /// Its USB controllers by devid: is it one of the device model's?
    std::map<std::int64_t, bool> controllers = {};

    /// Does its QEMU, if it has one, emulate devices for the guest? The QEMU of a PV or PVH domain
    /// only serves devices of xenstore.
    [[nodiscard]] bool has_device_model() const noexcept
    {
        return type == DomainType::hvm || type == DomainType::unknown;
    }
    /// Takes note of an element of class usbctrls (minified).
    void add_controller(std::string_view element_json);
    /// Nothing: the document has no controller of that number.
    [[nodiscard]] std::optional<bool> is_of_device_model(std::int64_t controller) const;
};

/// Is the USB controller `element_json` the device model's, in a domain of that type? One of type
/// auto, which `xl` writes by leaving the type out, is in HVM, and none is elsewhere.
[[nodiscard]] bool is_device_model_controller(DomainType type, std::string_view element_json);

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_DOMAIN_TRAITS_HPP_
