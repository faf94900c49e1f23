// SPDX-License-Identifier: MIT
// Most keys are rows of kKeys: a class, where the key stands, its name, the member of the JSON that
// it says, and how. What is more than that (a disk's back end, the lists of displays and sound
// cards, the ports of a USB controller) is a function of its class in kXenstoreClasses. What libxl
// omits is omitted: a key without a value is no key.
#include "store/classes/xenstore_device.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "store/classes/libxl_types.hpp"
#include "store/model/libxl_fields.hpp"
#include "store/model/vdev.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

enum class KeyPlace { back, front, fixed };
enum class KeyForm {
    text,      // a string as it is
    number,    // an integer; 0 is as good as none
    yes_no,    // a defbool: "True" is 1
    truth,     // a boolean, or an integer other than 0, is 1
    devid,     // the device's number
    constant,  // the value of `otherwise`
};

struct KeyRow {
    std::string_view device_class;
    KeyPlace place;
    std::string_view key;
    KeyForm form;
    std::string_view member;          // "vnc.enable": of a member
    const char* otherwise = nullptr;  // where the member is not given; null: no key
};

// clang-format off
constexpr auto kKeys = std::to_array<KeyRow>({
    {"disks", KeyPlace::back, "removable", KeyForm::truth, "removable", "0"},
    {"disks", KeyPlace::back, "bootable", KeyForm::constant, {}, "1"},
    {"disks", KeyPlace::back, "dev", KeyForm::text, "vdev"},
    {"disks", KeyPlace::back, "direct-io-safe", KeyForm::truth, "direct_io_safe"},
    {"disks", KeyPlace::back, "specification", KeyForm::text, "specification", "xen"},
    {"disks", KeyPlace::front, "virtual-device", KeyForm::devid, {}},
    {"disks", KeyPlace::front, "trusted", KeyForm::yes_no, "trusted", "1"},
    {"nics", KeyPlace::back, "vifname", KeyForm::text, "ifname"},
    {"nics", KeyPlace::back, "mac", KeyForm::text, "mac"},
    {"nics", KeyPlace::back, "ip", KeyForm::text, "ip"},
    {"nics", KeyPlace::back, "gatewaydev", KeyForm::text, "gatewaydev"},
    {"nics", KeyPlace::back, "vlan", KeyForm::text, "vlan"},
    {"nics", KeyPlace::back, "bridge", KeyForm::text, "bridge", "xenbr0"},
    {"nics", KeyPlace::back, "handle", KeyForm::devid, {}},
    {"nics", KeyPlace::back, "type", KeyForm::text, "nictype"},
    {"nics", KeyPlace::back, "hotplug-status", KeyForm::constant, {}, ""},
    {"nics", KeyPlace::front, "handle", KeyForm::devid, {}},
    {"nics", KeyPlace::front, "mac", KeyForm::text, "mac"},
    {"nics", KeyPlace::front, "trusted", KeyForm::yes_no, "trusted", "1"},
    {"nics", KeyPlace::fixed, "mtu", KeyForm::number, "mtu", "1500"},
    {"vtpms", KeyPlace::back, "handle", KeyForm::devid, {}},
    {"vtpms", KeyPlace::back, "uuid", KeyForm::text, "uuid"},
    {"vtpms", KeyPlace::back, "resume", KeyForm::constant, {}, "False"},
    {"vtpms", KeyPlace::front, "handle", KeyForm::devid, {}},
    {"vkbs", KeyPlace::back, "unique-id", KeyForm::text, "unique_id"},
    {"vkbs", KeyPlace::back, "feature-disable-keyboard", KeyForm::truth, "feature_disable_keyboard"},
    {"vkbs", KeyPlace::back, "feature-disable-pointer", KeyForm::truth, "feature_disable_pointer"},
    {"vkbs", KeyPlace::back, "feature-abs-pointer", KeyForm::truth, "feature_abs_pointer"},
    {"vkbs", KeyPlace::back, "feature-raw-pointer", KeyForm::truth, "feature_raw_pointer"},
    {"vkbs", KeyPlace::back, "feature-multi-touch", KeyForm::truth, "feature_multi_touch"},
    {"vkbs", KeyPlace::back, "width", KeyForm::number, "width"},
    {"vkbs", KeyPlace::back, "height", KeyForm::number, "height"},
    {"vfbs", KeyPlace::back, "vnc", KeyForm::yes_no, "vnc.enable", "1"},
    {"vfbs", KeyPlace::back, "vncpasswd", KeyForm::text, "vnc.passwd"},
    {"vfbs", KeyPlace::back, "vncdisplay", KeyForm::number, "vnc.display", "0"},
    {"vfbs", KeyPlace::back, "sdl", KeyForm::yes_no, "sdl.enable", "0"},
    {"vfbs", KeyPlace::back, "opengl", KeyForm::yes_no, "sdl.opengl", "0"},
    {"vfbs", KeyPlace::back, "xauthority", KeyForm::text, "sdl.xauthority"},
    {"vfbs", KeyPlace::back, "display", KeyForm::text, "sdl.display"},
    {"p9s", KeyPlace::back, "path", KeyForm::text, "path"},
    {"p9s", KeyPlace::back, "security_model", KeyForm::text, "security_model"},
    {"p9s", KeyPlace::front, "tag", KeyForm::text, "tag"},
    {"vdispls", KeyPlace::fixed, "be-alloc", KeyForm::truth, "be_alloc", "0"},
    {"vsnds", KeyPlace::front, "long-name", KeyForm::text, "long_name"},
    {"vsnds", KeyPlace::front, "short-name", KeyForm::text, "short_name"},
    {"channels", KeyPlace::back, "protocol", KeyForm::constant, {}, "vt100"},
    {"channels", KeyPlace::back, "name", KeyForm::text, "name"},
    {"channels", KeyPlace::front, "protocol", KeyForm::constant, {}, "vt100"},
    {"channels", KeyPlace::fixed, "name", KeyForm::text, "name"},
    {"channels", KeyPlace::fixed, "limit", KeyForm::constant, {}, "1048576"},
    {"channels", KeyPlace::fixed, "type", KeyForm::constant, {}, "ioemu"},
    {"channels", KeyPlace::fixed, "output", KeyForm::constant, {}, "pty"},
    {"channels", KeyPlace::fixed, "tty", KeyForm::constant, {}, ""},
    {"usbctrls", KeyPlace::back, "type", KeyForm::text, "type"},
    {"usbctrls", KeyPlace::back, "usb-ver", KeyForm::number, "version"},
    {"usbctrls", KeyPlace::back, "num-ports", KeyForm::number, "ports"},
    {"usbctrls", KeyPlace::back, "port", KeyForm::constant, {}, ""},
});
// clang-format on

constexpr std::int64_t kDevidMax = 0x7fffffff;
constexpr std::int64_t kListMax = 1000;  // of displays, streams: what a message of xenstore bears

// Found before anything is asked or written.
Error bad_device(std::string_view device_class, const std::string& what)
{
    return Error(Errc::invalid, std::string(device_class) + ": " + what,
                 "nothing was changed; give the element as libxl writes it in a document");
}

// "vnc.enable" is a member of a member.
std::optional<std::string_view> member_at(std::string_view json, std::string_view path)
{
    const auto dot = path.find('.');
    if (dot == std::string_view::npos) return json_find(json, path);
    const auto outer = json_find(json, path.substr(0, dot));
    return outer ? json_find(*outer, path.substr(dot + 1)) : std::nullopt;
}

// A string without what no value of libxl's has.
std::optional<std::string> text_of_token(std::string_view token)
{
    // C strings end there: libxl would have written a shorter value.
    if (json_type(token) != JsonType::string) return std::nullopt;
    auto text = json_decode_string(token);
    if (text.find('\0') != std::string::npos) return std::nullopt;
    return text;
}

std::optional<std::string> text_at(std::string_view json, std::string_view path)
{
    const auto token = member_at(json, path);
    return token ? text_of_token(*token) : std::nullopt;
}

bool is_truth(std::string_view json, std::string_view path)
{
    const auto token = member_at(json, path);
    return token && (*token == "true" || json_integer(*token).value_or(0) != 0);
}

// A defbool is compared by its beginning, as libxl does.
std::optional<bool> yes_no_at(std::string_view json, std::string_view path)
{
    const auto text = text_at(json, path);
    // "<default>" is how libxl spells one that was not given.
    if (!text || text->starts_with("<")) return std::nullopt;
    return text->starts_with("T");
}

// A number that is to be written as it is spelled: libxl's reach to 2^64 - 1.
std::optional<std::string> digits_at(std::string_view json, std::string_view path)
{
    const auto token = member_at(json, path);
    if (!token || token->empty() || *token == "0") return std::nullopt;
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (!std::all_of(token->begin(), token->end(), is_digit)) return std::nullopt;
    return std::string(*token);
}

std::string number_text(std::int64_t number)
{
    return std::to_string(number);
}

std::optional<std::string> value_of_row(const KeyRow& row, std::string_view json,
                                        const XenstoreDevice& device)
{
    std::optional<std::string> value;
    switch (row.form) {
    case KeyForm::text:
        value = text_at(json, row.member);
        break;
    case KeyForm::number:
        value = digits_at(json, row.member);
        break;
    case KeyForm::yes_no:
        if (const auto yes = yes_no_at(json, row.member)) value = *yes ? "1" : "0";
        break;
    case KeyForm::truth:
        if (is_truth(json, row.member)) value = "1";
        break;
    case KeyForm::devid:
        return number_text(device.number);
    case KeyForm::constant:
        break;
    }
    if (!value && row.otherwise != nullptr) value = row.otherwise;
    return value;
}

std::vector<XenstoreKey>& keys_at(XenstoreDevice& device, KeyPlace place)
{
    switch (place) {
    case KeyPlace::back:
        return device.back;
    case KeyPlace::front:
        return device.front;
    case KeyPlace::fixed:
        break;
    }
    return device.fixed;
}

using MoreKeys = Result<void> (*)(XenstoreDevice&, std::string_view json, const XenstoreHost&);

// libxl takes a device of the host for a block back end where it may, and QEMU's else.
// blkback opens a device of the host in the kernel, and only what it need not decode: raw. A
// hotplug script makes such a device, and a disk of a driver domain is opened there.
Result<std::string> disk_back_end(std::string_view json, const XenstoreHost& host)
{
    const std::string named = text_at(json, "backend").value_or("unknown");
    const std::string format = text_at(json, "format").value_or("unknown");
    if (named == "qdisk" || named == "phy") {
        if (named == "phy" && format != "raw")
            return bad_device("disks",
                              "backend phy takes format raw alone, not " + json_shown(format));
        return named;
    }
    if (named != "unknown")
        return bad_device("disks",
                          "backend " + json_shown(named) + " is not written by this version");
    const bool script = text_at(json, "script").has_value();
    const bool elsewhere = json_get_integer(json, "backend_domid").value_or(0) != 0;
    if (format == "raw" && (script || elsewhere || host.block_device)) return std::string("phy");
    if (script) return bad_device("disks", "a script goes with format raw alone");
    return std::string("qdisk");
}

// libxl names a script by its file alone where it is in its own directory.
std::string script_path(const XenstoreHost& host, const std::string& script)
{
    return script.starts_with("/") ? script : host.scripts + "/" + script;
}

Result<void> more_of_disk(XenstoreDevice& device, std::string_view json, const XenstoreHost& host)
{
    constexpr struct {
        std::string_view format;
        std::string_view word;
    } kFormats[] = {{"raw", "aio"},     {"empty", "aio"}, {"qcow", "qcow"},
                    {"qcow2", "qcow2"}, {"vhd", "vhd"},   {"qed", "qed"}};
    if (text_at(json, "specification").value_or("xen") == "virtio")
        return bad_device("disks", "libxl attaches no virtio disk while the domain runs");
    if (yes_no_at(json, "colo_enable").value_or(false))
        return bad_device("disks", "COLO is not written by this version");
    const auto path = text_at(json, "pdev_path");
    const auto format = text_at(json, "format").value_or("unknown");
    const auto* word = std::find_if(std::begin(kFormats), std::end(kFormats),
                                    [&](const auto& row) { return row.format == format; });
    if (word == std::end(kFormats))
        return bad_device("disks",
                          "\"format\" is missing or unknown: raw, qcow, qcow2, qed, vhd, empty");
    const bool cdrom = is_truth(json, "is_cdrom");
    if (format == "empty" ? !cdrom || !path.value_or("").empty() : path.value_or("").empty())
        return bad_device("disks", format == "empty"
                                       ? "only a CD drive is empty, and names no image"
                                       : "\"pdev_path\" is missing");
    auto back_end = disk_back_end(json, host);
    if (!back_end) return std::move(back_end).error();
    const bool phy = *back_end == "phy";
    device.backend_kind = phy ? "vbd" : "qdisk";
    const std::string target = path.value_or("");
    device.back.push_back({"params", phy ? target : std::string(word->word) + ":" + target});
    if (phy)
        device.back.push_back(
            {"script", script_path(host, text_at(json, "script").value_or("block"))});
    // Discard is on for what may be written, unless the document says otherwise.
    const bool writable = is_truth(json, "readwrite");
    device.back.push_back({"type", *back_end});
    device.back.push_back({"mode", writable ? "w" : "r"});
    device.back.push_back(
        {"discard-enable", yes_no_at(json, "discard_enable").value_or(writable) ? "1" : "0"});
    for (auto* keys : {&device.back, &device.front})
        keys->push_back({"device-type", cdrom ? "cdrom" : "disk"});
    return {};
}

Result<void> more_of_nic(XenstoreDevice& device, std::string_view json, const XenstoreHost& host)
{
    for (const auto& member : json_members(json))
        if (member.key.starts_with("colo"))
            return bad_device(
                "nics", "COLO is not written by this version (" + json_shown(member.key) + ")");
    device.back.push_back(
        {"script", script_path(host, text_at(json, "script").value_or("vif-bridge"))});
    if (const auto usecs = digits_at(json, "rate_interval_usecs"))
        device.back.push_back(
            {"rate", digits_at(json, "rate_bytes_per_interval").value_or("0") + "," + *usecs});
    // The front end always has its mtu; the back end only one that is not the usual.
    const auto mtu = digits_at(json, "mtu");
    if (mtu && *mtu != "1500") device.back.push_back({"mtu", *mtu});
    return {};
}

Result<void> more_of_vkb(XenstoreDevice& device, std::string_view json, const XenstoreHost&)
{
    // Another driver in the back end's domain waits for it, below another name.
    if (text_at(json, "backend_type").value_or("qemu") == "linux") device.backend_kind = "vinput";
    if (!is_truth(json, "feature_multi_touch")) return {};
    constexpr struct {
        std::string_view key;
        std::string_view member;
    } kTouch[] = {{"multi-touch-width", "multi_touch_width"},
                  {"multi-touch-height", "multi_touch_height"},
                  {"multi-touch-num-contacts", "multi_touch_num_contacts"}};
    for (const auto& row : kTouch)
        device.back.push_back({std::string(row.key), digits_at(json, row.member).value_or("0")});
    return {};
}

Result<void> more_of_vfb(XenstoreDevice& device, std::string_view json, const XenstoreHost&)
{
    // These two depend on whether there is a display at all, which no row of kKeys can say.
    const bool vnc = yes_no_at(json, "vnc.enable").value_or(true);
    const auto listen = text_at(json, "vnc.listen");
    if (vnc || listen) device.back.push_back({"vnclisten", listen.value_or("127.0.0.1")});
    device.back.push_back(
        {"vncunused", yes_no_at(json, "vnc.findunused").value_or(vnc) ? "1" : "0"});
    return {};
}

Result<void> more_of_p9(XenstoreDevice&, std::string_view json, const XenstoreHost&)
{
    for (const std::string_view member : {"tag", "path", "security_model"})
        if (!text_at(json, member))
            return bad_device("p9s", "\"" + std::string(member) + "\" is missing");
    const auto type = text_at(json, "type").value_or("qemu");
    if (type != "qemu" && type != "unknown")
        return bad_device(
            "p9s", "type " + json_shown(type) + " needs a daemon that this version does not start");
    return {};
}

Result<void> more_of_vdispl(XenstoreDevice& device, std::string_view json, const XenstoreHost&)
{
    const auto list = json_find(json, "connectors");
    if (!list) return {};
    std::int64_t number = 0;
    for (const auto connector : json_elements(*list, kListMax)) {
        const std::string at = number_text(number++) + "/";
        device.fixed.push_back(
            {at + "resolution", digits_at(connector, "width").value_or("0") + "x" +
                                    digits_at(connector, "height").value_or("0")});
        device.fixed.push_back({at + "unique-id", text_at(connector, "unique_id").value_or("")});
    }
    return {};
}

// Numbers, or names, with commas between them.
std::string joined_list(std::string_view json, std::string_view member)
{
    const auto list = json_find(json, member);
    std::string text;
    if (!list) return text;
    for (const auto element : json_elements(*list, kListMax)) {
        if (!text.empty()) text += ',';
        text += text_of_token(element).value_or(std::string(element));
    }
    return text;
}

void add_sound_parameters(XenstoreDevice& device, const std::string& at, std::string_view json)
{
    const auto parameters = json_find(json, "params");
    if (!parameters) return;
    const auto add = [&](std::string_view key, std::string value) {
        if (!value.empty()) device.front.push_back({at + std::string(key), std::move(value)});
    };
    add("sample-rates", joined_list(*parameters, "sample_rates"));
    add("sample-formats", joined_list(*parameters, "sample_formats"));
    add("channels-min", digits_at(*parameters, "channels_min").value_or(""));
    add("channels-max", digits_at(*parameters, "channels_max").value_or(""));
    add("buffer-size", digits_at(*parameters, "buffer_size").value_or(""));
}

Result<void> more_of_vsnd(XenstoreDevice& device, std::string_view json, const XenstoreHost&)
{
    add_sound_parameters(device, "", json);
    const auto pcms = json_find(json, "pcms");
    if (!pcms) return {};
    std::int64_t number = 0;
    for (const auto pcm : json_elements(*pcms, kListMax)) {
        const std::string at = number_text(number++) + "/";
        if (const auto name = text_at(pcm, "name")) device.front.push_back({at + "name", *name});
        add_sound_parameters(device, at, pcm);
        const auto streams = json_find(pcm, "streams");
        if (!streams) continue;
        std::int64_t place = 0;
        for (const auto stream : json_elements(*streams, kListMax)) {
            const std::string below = at + number_text(place++) + "/";
            device.front.push_back(
                {below + "unique-id", text_at(stream, "unique_id").value_or("")});
            device.front.push_back({below + "type", text_at(stream, "type").value_or("p")});
            add_sound_parameters(device, below, stream);
        }
    }
    return {};
}

Result<void> more_of_channel(XenstoreDevice& device, std::string_view json, const XenstoreHost&)
{
    if (!text_at(json, "name")) return bad_device("channels", "\"name\" is missing");
    if (device.number == 0) return bad_device("channels", "\"devid\" 0 is the domain's console");
    if (!json_find(json, "connection.pty"))
        return bad_device(
            "channels",
            "only one with \"connection.pty\" can be attached: the character device of "
            "a socket is made by QEMU's command line");
    device.back.push_back({"connection", "pty"});
    return {};
}

Result<void> more_of_usbctrl(XenstoreDevice& device, std::string_view json, const XenstoreHost&)
{
    constexpr std::int64_t kPortsMax = 31;
    const auto type = text_at(json, "type").value_or("auto");
    if (type != "pv" && type != "qusb")
        return bad_device("usbctrls",
                          "\"type\" has to say pv or qusb: this version does not ask the "
                          "kernel which of the two it has");
    device.backend_kind = type == "pv" ? "vusb" : "qusb";
    const auto ports = json_get_integer(json, "ports").value_or(0);
    const auto version = json_get_integer(json, "version").value_or(0);
    if (version < 1 || version > 2)
        return bad_device("usbctrls", "\"version\" is 1 or 2 for this type");
    if (ports < 1 || ports > kPortsMax)
        return bad_device("usbctrls", "\"ports\" is between 1 and " + number_text(kPortsMax));
    for (std::int64_t port = 1; port <= ports; ++port)
        device.back.push_back({"port/" + number_text(port), ""});
    return {};
}

struct XenstoreClass {
    std::string_view device_class;
    std::string_view kind;
    MoreKeys more;
};

constexpr auto kXenstoreClasses = std::to_array<XenstoreClass>({
    {"disks", "vbd", more_of_disk},
    {"nics", "vif", more_of_nic},
    {"vtpms", "vtpm", nullptr},
    {"vkbs", "vkbd", more_of_vkb},
    {"vfbs", "vfb", more_of_vfb},
    {"p9s", "9pfs", more_of_p9},
    {"vdispls", "vdispl", more_of_vdispl},
    {"vsnds", "vsnd", more_of_vsnd},
    {"channels", "console", more_of_channel},
    {"usbctrls", "vusb", more_of_usbctrl},
});

const XenstoreClass* class_row(std::string_view device_class)
{
    const auto* row =
        std::find_if(kXenstoreClasses.begin(), kXenstoreClasses.end(),
                     [&](const XenstoreClass& one) { return one.device_class == device_class; });
    return row == kXenstoreClasses.end() ? nullptr : row;
}

Result<std::int64_t> back_end_of(std::string_view device_class, std::string_view json)
{
    constexpr std::int64_t kDomidMax = 0x7fef;
    auto domid = json_get_integer(json, "backend_domid").value_or(0);
    if (const auto name = text_at(json, "backend_domname")) {
        const auto number = json_integer(*name);
        if (!number)
            return bad_device(device_class,
                              "the back end " + json_shown(*name) +
                                  " is named by name: give its number in \"backend_domid\"");
        domid = *number;
    }
    if (domid < 0 || domid > kDomidMax)
        return bad_device(device_class, "\"backend_domid\" is no number of a domain");
    return domid;
}

}  // namespace

std::string_view xenstore_kind(std::string_view device_class) noexcept
{
    const auto* row = class_row(device_class);
    return row ? row->kind : std::string_view();
}

bool wants_number(std::string_view device_class, std::string_view json)
{
    return device_class != "disks" && json_get_integer(json, "devid").value_or(-1) < 0;
}

Result<std::int64_t> xenstore_number(std::string_view device_class, std::string_view json)
{
    if (device_class == "disks") {
        const auto vdev = text_at(json, "vdev");
        const auto number = vdev ? vdev_number(*vdev) : std::nullopt;
        if (!number) return bad_device(device_class, "\"vdev\" is missing, or no name of a disk");
        return *number;
    }
    const auto number = json_get_integer(json, "devid").value_or(-1);
    if (number < 0 || number > kDevidMax)
        return bad_device(device_class, "\"devid\" is missing: which device it is cannot be told");
    return number;
}

Result<std::string> with_libxl_choices(std::string_view device_class, std::string_view json,
                                       DomainType type, std::int64_t next, std::string_view random,
                                       std::string_view uuid)
{
    if (auto ok = check_libxl_types(device_class, json); !ok) return std::move(ok).error();
    std::string text(json);
    const auto set = [&](std::string_view member, const std::string& value) {
        text = with_libxl_member(device_class, text, member, value);
    };
    if (wants_number(device_class, text)) set("devid", number_text(next));
    if (device_class == "nics") {
        const bool emulated = text_at(text, "nictype") == "vif_ioemu";
        if (emulated)
            return bad_device(device_class,
                              type == DomainType::hvm || type == DomainType::unknown
                                  ? "libxl attaches no emulated card while the domain "
                                    "runs: leave \"nictype\" out, or say vif"
                                  : "a PV or PVH domain has no emulated card");
        if (!text_at(text, "nictype")) set("nictype", "\"vif\"");
        if (!text_at(text, "mac")) {
            // Xen's own prefix, and a fourth byte below 0x80.
            std::string mac = "00:16:3e:";
            const std::string digits(random.substr(0, 6));
            mac += static_cast<char>('0' +
                                     (digits[0] < 'a' ? digits[0] - '0' : digits[0] - 'a' + 2) % 8);
            mac += digits[1];
            mac += ":" + digits.substr(2, 2) + ":" + digits.substr(4, 2);
            set("mac", json_quote(mac));
        }
    }
    if (device_class == "vtpms" && !text_at(text, "uuid")) set("uuid", json_quote(uuid));
    if (device_class == "usbctrls") {
        if (json_get_integer(text, "version").value_or(0) == 0) set("version", "2");
        if (json_get_integer(text, "ports").value_or(0) == 0) set("ports", "8");
    }
    return text;
}

Result<XenstoreDevice> xenstore_device(std::string_view device_class, std::string_view json,
                                       const XenstoreHost& host)
{
    const auto* row = class_row(device_class);
    if (!row)
        return bad_device(device_class, "libxl attaches none of this class while the domain runs");
    XenstoreDevice device;
    device.kind = row->kind;
    device.backend_kind = row->kind;
    auto number = xenstore_number(device_class, json);
    if (!number) return std::move(number).error();
    device.number = *number;
    auto back_end = back_end_of(device_class, json);
    if (!back_end) return std::move(back_end).error();
    device.backend_domid = *back_end;
    for (const auto& key : kKeys) {
        if (key.device_class != device_class) continue;
        if (auto value = value_of_row(key, json, device))
            keys_at(device, key.place).push_back({std::string(key.key), *std::move(value)});
    }
    if (row->more)
        if (auto more = row->more(device, json, host); !more) return std::move(more).error();
    return device;
}

}  // namespace xlstore
