// SPDX-License-Identifier: MIT
// One table has a row for each class: the document's array, how an element is identified, where its
// primary is. Everything that differs by class starts from it. An element's key is made of its
// identifying members in libxl's spelling; where libxl gives an element no identity the store gives
// it a number ("#7") that the domain never had before.
#include "store/model/device_class.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>

#include "store/model/pci_address.hpp"
#include "store/model/vdev.hpp"
#include "store/text/json_text.hpp"
#include "store/text/raw_bytes.hpp"

namespace xlstore {

namespace {

constexpr std::int64_t kIntMax = std::numeric_limits<std::int32_t>::max();

// A CD in one of the first places is a drive of QEMU's. libxl gives the others to the guest by its
// PV drivers alone, and says so in its log.
Primary disk_primary(std::string_view element_json, const DomainTraits& /*traits*/)
{
    constexpr std::int64_t kLastEmulated = 4;
    if (json_get_integer(element_json, "is_cdrom").value_or(0) == 0) return Primary::xenstore;
    const auto place = vdev_disk(json_get_string(element_json, "vdev").value_or(""));
    return place && *place > kLastEmulated ? Primary::xenstore : Primary::qemu;
}

Primary usbctrl_primary(std::string_view element_json, const DomainTraits& traits)
{
    return is_device_model_controller(traits.type, element_json) ? Primary::qemu
                                                                 : Primary::xenstore;
}

// One that is not plugged in yet goes to a controller that libxl makes, which is the device
// model's.
Primary usbdev_primary(std::string_view element_json, const DomainTraits& traits)
{
    const auto controller = json_get_integer(element_json, "ctrl");
    const bool in_qemu = !controller || traits.is_of_device_model(*controller).value_or(true);
    return in_qemu ? Primary::qemu : Primary::xenstore;
}

// clang-format off
constexpr std::array kClasses = {
    //          name          key                 primary            without_model      in_document  primary_of
    DeviceClass{"disks",      KeyRule::vdev,      Primary::xenstore, Primary::xenstore, true,        disk_primary},
    DeviceClass{"nics",       KeyRule::devid,     Primary::xenstore, Primary::xenstore, true,        nullptr},
    DeviceClass{"pcidevs",    KeyRule::bdf,       Primary::qemu,     Primary::xenstore, true,        nullptr},
    DeviceClass{"rdms",       KeyRule::position,  Primary::none,     Primary::none,     true,        nullptr},
    DeviceClass{"dtdevs",     KeyRule::position,  Primary::none,     Primary::none,     true,        nullptr},
    DeviceClass{"vfbs",       KeyRule::position,  Primary::none,     Primary::xenstore, true,        nullptr},
    DeviceClass{"vkbs",       KeyRule::position,  Primary::xenstore, Primary::xenstore, true,        nullptr},
    DeviceClass{"virtios",    KeyRule::position,  Primary::xenstore, Primary::xenstore, true,        nullptr},
    DeviceClass{"vtpms",      KeyRule::devid,     Primary::xenstore, Primary::xenstore, true,        nullptr},
    DeviceClass{"p9s",        KeyRule::position,  Primary::xenstore, Primary::xenstore, true,        nullptr},
    DeviceClass{"pvcallsifs", KeyRule::position,  Primary::xenstore, Primary::xenstore, true,        nullptr},
    DeviceClass{"vdispls",    KeyRule::devid,     Primary::xenstore, Primary::xenstore, true,        nullptr},
    DeviceClass{"vsnds",      KeyRule::devid,     Primary::xenstore, Primary::xenstore, true,        nullptr},
    DeviceClass{"channels",   KeyRule::position,  Primary::xenstore, Primary::xenstore, true,        nullptr},
    DeviceClass{"usbctrls",   KeyRule::devid,     Primary::qemu,     Primary::xenstore, true,        usbctrl_primary},
    DeviceClass{"usbdevs",    KeyRule::ctrl_port, Primary::qemu,     Primary::xenstore, true,        usbdev_primary},
    DeviceClass{"vcpus",      KeyRule::index,     Primary::qemu,     Primary::qemu,     false,       nullptr},
    DeviceClass{"qemu",       KeyRule::given,     Primary::qemu,     Primary::qemu,     false,       nullptr},
};
// clang-format on

/// Reads the identity fields of one element. The first field that is wrong stays in error();
/// later reads give their default.
class Identity {
public:
    Identity(std::string_view class_name, std::string_view element_json, std::size_t position)
        : where_(std::string(class_name) + "[" + std::to_string(position) + "]"),
          element_(element_json)
    {
        if (json_type(element_) != JsonType::object) fail(" is not an object");
    }

    /// The integer `field`, `omitted` where it is absent.
    std::int64_t integer(std::string_view field, std::int64_t omitted, std::int64_t min,
                         std::int64_t max)
    {
        const std::optional<std::string_view> text = json_find(element_, field);
        if (!text) return omitted;
        const std::optional<std::int64_t> value = json_integer(*text);
        if (!value || *value < min || *value > max) {
            fail(": " + std::string(field) + " is not an integer from " + std::to_string(min) +
                 " to " + std::to_string(max));
            return omitted;
        }
        return *value;
    }

    /// The string `field`; nothing where it is absent or null. One with a NUL is refused: libxl
    /// would take it for another, shorter one.
    std::optional<std::string> string(std::string_view field)
    {
        const std::optional<std::string_view> text = json_find(element_, field);
        if (!text || json_type(*text) == JsonType::null) return std::nullopt;
        if (json_type(*text) != JsonType::string) {
            fail(": " + std::string(field) + " is not a string");
            return std::nullopt;
        }
        std::string value = json_decode_string(*text);
        if (value.empty()) fail(": " + std::string(field) + " is empty");
        if (value.find('\0') != std::string::npos) fail(": " + std::string(field) + " holds a NUL");
        if (!is_utf8(value)) fail(": " + std::string(field) + " is not UTF-8");
        return value;
    }

    /// Whether `field` is given, as any string: it tells nothing by itself.
    bool has_string(std::string_view field)
    {
        const std::optional<std::string_view> text = json_find(element_, field);
        if (!text || json_type(*text) == JsonType::null) return false;
        if (json_type(*text) != JsonType::string)
            fail(": " + std::string(field) + " is not a string");
        return true;
    }

    void fail(std::string_view reason)
    {
        if (!error_) error_ = Error(Errc::invalid, where_ + std::string(reason));
    }
    [[nodiscard]] const std::optional<Error>& error() const { return error_; }

private:
    std::string where_;
    std::string_view element_;
    std::optional<Error> error_;
};

/// The key by its rule; empty where the element has no identity of its own.
std::string key_of(KeyRule rule, Identity& identity)
{
    switch (rule) {
    case KeyRule::vdev:
        return identity.string("vdev").value_or("");
    case KeyRule::devid: {
        const std::int64_t devid = identity.integer("devid", -1, -1, kIntMax);
        return devid < 0 ? std::string() : std::to_string(devid);
    }
    case KeyRule::ctrl_port: {
        const std::int64_t ctrl = identity.integer("ctrl", -1, -1, kIntMax);
        const std::int64_t port = identity.integer("port", 0, 0, kIntMax);
        if (ctrl < 0 || port == 0) return {};
        return std::to_string(ctrl) + "." + std::to_string(port);
    }
    case KeyRule::bdf: {
        const bool named = identity.has_string("name");
        // Segments above ffff exist (those of a VMD controller); libxl prints them as they are.
        const auto domain = static_cast<unsigned>(identity.integer("domain", 0, 0, kIntMax));
        const auto bus = static_cast<unsigned>(identity.integer("bus", 0, 0, 0xff));
        const auto dev = static_cast<unsigned>(identity.integer("dev", 0, 0, 0x1f));
        const auto func = static_cast<unsigned>(identity.integer("func", 0, 0, 7));
        // Given by name alone: libxl looks up the rest when it adds the device.
        if (named && domain == 0 && bus == 0 && dev == 0 && func == 0) return {};
        return PciAddress{domain, bus, dev, func}.text();
    }
    case KeyRule::position:
        return {};
    case KeyRule::index: {
        const std::int64_t index = identity.integer("index", -1, 0, kIntMax);
        if (index < 0) identity.fail(": index is missing");
        return std::to_string(index);
    }
    case KeyRule::given: {
        std::optional<std::string> key = identity.string("key");
        if (!key) identity.fail(": key is missing");
        return key.value_or("");
    }
    }
    return {};
}

}  // namespace

std::string_view primary_name(Primary primary) noexcept
{
    switch (primary) {
    case Primary::qemu:
        return "qemu";
    case Primary::xenstore:
        return "xenstore";
    case Primary::none:
        break;
    }
    return "none";
}

std::span<const DeviceClass> device_classes()
{
    return kClasses;
}

const DeviceClass* find_device_class(std::string_view name)
{
    const auto* found = std::find_if(kClasses.begin(), kClasses.end(),
                                     [name](const DeviceClass& row) { return row.name == name; });
    return found == kClasses.end() ? nullptr : found;
}

Result<std::string> thing_key(const DeviceClass& device_class, std::string_view element_json,
                              std::size_t position)
{
    Identity identity(device_class.name, element_json, position);
    std::string key = key_of(device_class.key, identity);
    if (identity.error()) return *identity.error();
    return key;
}

std::string element_of_key(const DeviceClass& device_class, std::string_view key, bool in_qemu)
{
    const bool has_identity = !key.empty() && !key.starts_with('#');
    std::vector<std::pair<std::string, std::string>> members;
    switch (device_class.key) {
    case KeyRule::vdev:
        if (has_identity) members.emplace_back("vdev", json_quote(key));
        break;
    case KeyRule::devid:
        if (has_identity) members.emplace_back("devid", key);
        break;
    case KeyRule::ctrl_port:
        if (has_identity) {
            const auto dot = key.find('.');
            members.emplace_back("ctrl", key.substr(0, dot));
            members.emplace_back("port", key.substr(dot + 1));
        }
        break;
    case KeyRule::bdf: {
        if (!has_identity) {  // by a name, which is not known
            members.emplace_back("name", json_quote(key));
            break;
        }
        const auto at = pci_address_from(key).value_or(PciAddress{});
        for (const auto& [field, number] : {std::pair{"func", at.function},
                                            {"dev", at.device},
                                            {"bus", at.bus},
                                            {"domain", at.segment}})
            if (number != 0) members.emplace_back(field, std::to_string(number));
        break;
    }
    case KeyRule::position:
        break;
    case KeyRule::index:
        members.emplace_back("index", key);
        break;
    case KeyRule::given:
        members.emplace_back("key", json_quote(key));
        break;
    }
    if (in_qemu && device_class.primary_of == disk_primary) members.emplace_back("is_cdrom", "1");
    // Which of the two kinds that are not QEMU's it was is not known; only this matters here.
    if (device_class.primary_of == usbctrl_primary)
        members.emplace(members.begin(), "type", json_quote(in_qemu ? "devicemodel" : "qusb"));
    return json_object(members);
}

Primary thing_primary(const DeviceClass& device_class, std::string_view element_json,
                      const DomainTraits& traits)
{
    if (!traits.has_device_model()) return device_class.without_model;
    if (device_class.primary_of != nullptr) return device_class.primary_of(element_json, traits);
    return device_class.primary;
}

}  // namespace xlstore
