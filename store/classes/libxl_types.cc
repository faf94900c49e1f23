// SPDX-License-Identifier: MIT
// kLibxlTypes is libxl_types.idl of the devices that can be attached. A member has one type
// wherever it stands, but for those that are named with the object that they stand in.
#include "store/classes/libxl_types.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "store/model/device_class.hpp"
#include "store/model/document.hpp"
#include "store/text/json_text.hpp"
#include "store/text/number_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

enum class Libxl { text, word, mac, uuid, truth, defbool, u8, u32, u64, s32, object, array };

struct TypeRow {
    std::string_view member;
    Libxl type;
    std::string_view words = {};  // the values of an enumeration that any other would be taken for
};

// clang-format off
constexpr auto kLibxlTypes = std::to_array<TypeRow>({
    {"backend_domid", Libxl::u32}, {"backend_domname", Libxl::text}, {"devid", Libxl::s32},
    {"pdev_path", Libxl::text}, {"vdev", Libxl::text}, {"backend", Libxl::text},
    {"format", Libxl::text}, {"script", Libxl::text}, {"removable", Libxl::s32},
    {"readwrite", Libxl::s32}, {"is_cdrom", Libxl::s32}, {"direct_io_safe", Libxl::truth},
    {"discard_enable", Libxl::defbool}, {"specification", Libxl::word, " unknown xen virtio "},
    {"colo_enable", Libxl::defbool}, {"trusted", Libxl::defbool},
    {"mtu", Libxl::s32}, {"vlan", Libxl::text}, {"model", Libxl::text},
    {"mac", Libxl::mac}, {"ip", Libxl::text}, {"bridge", Libxl::text},
    {"ifname", Libxl::text}, {"nictype", Libxl::word, " unknown vif_ioemu vif "},
    {"rate_bytes_per_interval", Libxl::u64}, {"rate_interval_usecs", Libxl::u32},
    {"gatewaydev", Libxl::text},
    {"func", Libxl::u8}, {"dev", Libxl::u8}, {"bus", Libxl::u8}, {"domain", Libxl::s32},
    {"vdevfn", Libxl::u32}, {"vfunc_mask", Libxl::u32}, {"msitranslate", Libxl::truth},
    {"power_mgmt", Libxl::truth}, {"permissive", Libxl::truth}, {"seize", Libxl::truth},
    {"rdm_policy", Libxl::word, " invalid strict relaxed "}, {"name", Libxl::text},
    {"vnc", Libxl::object}, {"sdl", Libxl::object}, {"keymap", Libxl::text},
    {"enable", Libxl::defbool}, {"listen", Libxl::text}, {"passwd", Libxl::text},
    {"vnc.display", Libxl::s32}, {"findunused", Libxl::defbool}, {"opengl", Libxl::defbool},
    {"sdl.display", Libxl::text}, {"xauthority", Libxl::text},
    {"backend_type", Libxl::word, " unknown qemu linux "}, {"unique_id", Libxl::text},
    {"feature_disable_keyboard", Libxl::truth}, {"feature_disable_pointer", Libxl::truth},
    {"feature_abs_pointer", Libxl::truth}, {"feature_raw_pointer", Libxl::truth},
    {"feature_multi_touch", Libxl::truth}, {"width", Libxl::u32}, {"height", Libxl::u32},
    {"multi_touch_width", Libxl::u32}, {"multi_touch_height", Libxl::u32},
    {"multi_touch_num_contacts", Libxl::u32},
    {"uuid", Libxl::uuid}, {"tag", Libxl::text}, {"path", Libxl::text},
    {"security_model", Libxl::text}, {"type", Libxl::text},
    {"be_alloc", Libxl::truth}, {"connectors", Libxl::array},
    {"short_name", Libxl::text}, {"long_name", Libxl::text}, {"params", Libxl::object},
    {"pcms", Libxl::array}, {"streams", Libxl::array}, {"sample_rates", Libxl::array},
    {"sample_rates.", Libxl::u32}, {"sample_formats", Libxl::array},
    {"sample_formats.", Libxl::text}, {"channels_min", Libxl::u32},
    {"channels_max", Libxl::u32}, {"buffer_size", Libxl::u32},
    {"connection.pty", Libxl::object}, {"connection.socket", Libxl::object},
    {"version", Libxl::s32}, {"ports", Libxl::s32}, {"ctrl", Libxl::s32},
    {"port", Libxl::s32}, {"type.hostdev", Libxl::object}, {"hostbus", Libxl::u8},
    {"hostaddr", Libxl::u8}, {"type.emulated", Libxl::object}, {"driver", Libxl::text},
});
// clang-format on

const TypeRow* type_row(std::string_view member)
{
    const auto* row = std::ranges::find(kLibxlTypes, member, &TypeRow::member);
    return row == kLibxlTypes.end() ? nullptr : row;
}

template <std::integral Number>
bool is_libxl_number(std::string_view token, Number most = std::numeric_limits<Number>::max())
{
    const auto number = parse_number<Number>(token);
    return json_type(token) == JsonType::number && number && *number <= most;
}

bool is_of_type(const TypeRow& row, std::string_view token)
{
    const auto type = json_type(token);
    const std::string text = type == JsonType::string ? json_decode_string(token) : std::string();
    switch (row.type) {
    case Libxl::text:
        return type == JsonType::string;
    case Libxl::word:
        return type == JsonType::string && row.words.find(" " + text + " ") != std::string::npos;
    case Libxl::mac:
        return is_mac(text);
    case Libxl::uuid:
        return normal_uuid(text).has_value();
    case Libxl::truth:
        return type == JsonType::boolean;
    case Libxl::defbool:
        return text.starts_with("True") || text.starts_with("False") ||
               text.starts_with("<default>");
    case Libxl::u8:
        return is_libxl_number<std::uint8_t>(token);
    case Libxl::u32:
        return is_libxl_number<std::uint32_t>(token);
    case Libxl::u64:
        return is_libxl_number<std::uint64_t>(token);
    case Libxl::s32:
        return is_libxl_number<std::int32_t>(token);
    case Libxl::object:
        return type == JsonType::object;
    case Libxl::array:
        return type == JsonType::array;
    }
    return false;
}

std::string shown_type(const TypeRow& row)
{
    switch (row.type) {
    case Libxl::text:
        return "a string";
    case Libxl::word:
        return "one of the words" + std::string(row.words.substr(0, row.words.size() - 1));
    case Libxl::mac:
        return "a MAC address";
    case Libxl::uuid:
        return "a UUID";
    case Libxl::truth:
        return "true or false";
    case Libxl::defbool:
        return R"("True" or "False")";
    case Libxl::u8:
        return "a number from 0 to 255";
    case Libxl::u32:
        return "a number from 0 to 4294967295";
    case Libxl::u64:
        return "a number from 0 to 18446744073709551615";
    case Libxl::s32:
        return "a number of at most 2147483647";
    case Libxl::object:
        return "an object";
    case Libxl::array:
        return "an array";
    }
    return {};
}

std::string shown_value(std::string_view token)
{
    constexpr std::size_t kShown = 60;
    return json_type(token) == JsonType::string ? json_shown(json_decode_string(token))
                                                : plain_text(token, kShown);
}

// What is wrong in `value`, which stands in the member `outer`; nothing: all is as it should.
std::optional<std::string> flaw_in(std::string_view outer, std::string_view value);

std::optional<std::string> flaw_of_member(const TypeRow* row, std::string_view name,
                                          std::string_view value)
{
    if (!row || json_type(value) == JsonType::null) return std::nullopt;
    if (!is_of_type(*row, value))
        return "\"" + std::string(name) + "\" is " + shown_value(value) + ", not " +
               shown_type(*row);
    return flaw_in(row->member, value);
}

std::optional<std::string> flaw_in(std::string_view outer, std::string_view value)
{
    const std::string within = std::string(outer) + ".";
    for (const auto& member : json_members(value)) {
        const auto* row = type_row(within + member.key);
        if (!row) row = type_row(member.key);
        if (auto flaw = flaw_of_member(row, member.key, member.value)) return flaw;
    }
    for (const auto element : json_elements(value)) {
        const auto* row = type_row(within);
        auto flaw = row ? flaw_of_member(row, outer, element) : flaw_in(outer, element);
        if (flaw) return flaw;
    }
    return std::nullopt;
}

}  // namespace

bool is_mac(std::string_view text)
{
    if (text.size() != 17) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (i % 3 == 2 ? c != ':' : !hex) return false;
    }
    return true;
}

Result<void> check_libxl_types(std::string_view device_class, std::string_view json)
{
    const auto* of = find_device_class(device_class);
    if (!of || !of->in_document) return {};
    const auto flaw = flaw_in({}, json);
    if (!flaw) return {};
    return Error(Errc::invalid, std::string(device_class) + ": " + *flaw,
                 "nothing was changed; give the element as libxl writes it in a document");
}

}  // namespace xlstore
