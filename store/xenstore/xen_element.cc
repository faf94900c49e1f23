// SPDX-License-Identifier: MIT
// From nodes to the element of a document. A class has a function that takes its members in libxl's
// order; each is omitted where its node is missing or has libxl's default, and makes the element
// impossible where its value is none that a toolstack writes.
#include <algorithm>
#include <array>
#include <cstdint>

#include "store/base/limits.hpp"
#include "store/classes/libxl_types.hpp"
#include "store/model/document.hpp"
#include "store/model/pci_address.hpp"
#include "store/text/json_text.hpp"
#include "store/text/number_text.hpp"
#include "store/text/plain_text.hpp"
#include "store/xenstore/xen_device.hpp"

namespace xlstore::xenstore {

namespace {

// The members of one element, and the first value that is wrong.
class Element {
public:
    Element(const Tree& tree, const XenDevice& device) : tree_(tree), device_(device) {}

    // As text; nothing: there is no such node, or it is empty.
    // libxl writes a key without a value where it has none; an element has no such member then.
    [[nodiscard]] std::optional<std::string> text(std::string_view node)
    {
        const auto value = raw(node);
        if (!value || value->empty()) return std::nullopt;
        auto shown = text_of(*value);
        // A document is UTF-8: bytes that are not could not be read back.
        if (!shown) wrong(node, "is no text");
        return shown;
    }
    [[nodiscard]] std::optional<std::int64_t> number(std::string_view node)
    {
        const auto value = raw(node);
        if (!value || value->empty()) return std::nullopt;
        const auto number = number_of(*value);
        if (!number) wrong(node, "is no number");
        return number;
    }
    // "1" and "0", as libxl writes a truth.
    [[nodiscard]] bool is_set(std::string_view node) { return number(node).value_or(0) != 0; }
    [[nodiscard]] bool has(std::string_view node) { return raw(node).has_value(); }

    void add(std::string key, std::string json)
    {
        members_.emplace_back(std::move(key), std::move(json));
    }
    void add(std::string key, std::int64_t value) { add(std::move(key), std::to_string(value)); }
    void add_text(const char* key, std::string_view node)
    {
        if (const auto value = text(node)) add(key, json_quote(*value));
    }
    void add_number(const char* key, std::string_view node)
    {
        if (const auto value = number(node); value && *value != 0) add(key, *value);
    }
    // One of a few words; the first is the default, which is omitted.
    void add_word(const char* key, std::string_view node, std::span<const std::string_view> words)
    {
        const auto value = text(node);
        if (!value) return;
        const auto found = std::ranges::find(words, *value);
        if (found == words.end()) wrong(node, "is not one of libxl's words");
        if (found != words.begin()) add(key, json_quote(*value));
    }
    void add_backend()
    {
        if (device_.backend_domid != 0) add("backend_domid", device_.backend_domid);
    }
    void add_devid() { add("devid", device_.devid); }
    void wrong(std::string_view node, std::string_view what)
    {
        if (flaw_.empty())
            flaw_ = device_.name() + ": " + std::string(node) + " " + std::string(what);
    }

    // The first flaw is told, and no element is made: half of one would be taken for the whole (R1
    // wants an entry that describes the device).
    [[nodiscard]] XenElement made() &&
    {
        if (!flaw_.empty()) return {{}, std::move(flaw_)};
        return {json_object(members_), {}};
    }

private:
    // libxl's node first; it has all that libxl wrote into the back end.
    [[nodiscard]] std::optional<std::string_view> raw(std::string_view node) const
    {
        const std::string name = "/" + std::string(node);
        if (const auto value = tree_.value(device_.libxl_node + name)) return value;
        return device_.has_backend ? tree_.value(device_.backend + name) : std::nullopt;
    }

    const Tree& tree_;
    const XenDevice& device_;
    std::vector<std::pair<std::string, std::string>> members_;
    std::string flaw_;
};

using Words = std::span<const std::string_view>;

// "qcow2:/srv/a.qcow2", "aio:/srv/a.img", or of a physical back end the path alone. libxl does not
// tell the format when it reads one back; the prefix does.
void add_image(Element& element, std::string_view back_end)
{
    const auto params = element.text("params").value_or("");
    std::string format;
    std::string path = params;
    if (back_end != "phy" && params.find(':') != std::string::npos) {
        const auto prefix = params.substr(0, params.find(':'));
        path = params.substr(prefix.size() + 1);
        format = prefix == "aio" ? "raw" : prefix;
        constexpr std::array<std::string_view, 5> kFormats = {"raw", "qcow", "qcow2", "vhd", "qed"};
        if (std::ranges::find(kFormats, format) == kFormats.end()) format.clear();
    }
    if (back_end == "phy" && !path.empty()) format = "raw";
    if (path.empty()) format = "empty";
    element.add("pdev_path", json_quote(path));
    element.add("vdev", json_quote(element.text("dev").value_or("")));
    if (!back_end.empty()) element.add("backend", json_quote(back_end));
    if (!format.empty()) element.add("format", json_quote(format));
}

void disk(Element& element)
{
    constexpr std::array<std::string_view, 4> kBackEnds = {"phy", "qdisk", "tap", "standalone"};
    element.add_backend();
    const auto back_end = element.text("type").value_or("");
    if (!back_end.empty() && std::ranges::find(kBackEnds, back_end) == kBackEnds.end())
        element.wrong("type", "is no back end of libxl's");
    if (!element.text("dev")) element.wrong("dev", "is missing");
    add_image(element, back_end);
    element.add_text("script", "script");
    element.add_number("removable", "removable");
    if (element.text("mode") == "w") element.add("readwrite", 1);
    if (element.text("device-type") == "cdrom") element.add("is_cdrom", 1);
    if (element.is_set("direct-io-safe")) element.add("direct_io_safe", "true");
    if (element.text("specification") == "virtio") element.add("specification", "\"virtio\"");
}

void nic(Element& element)
{
    constexpr std::array<std::string_view, 2> kTypes = {"vif", "vif_ioemu"};
    element.add_backend();
    element.add_devid();
    element.add_number("mtu", "mtu");
    if (const auto mac = element.text("mac"); mac && !is_mac(*mac))
        element.wrong("mac", "is no address");
    else
        element.add_text("mac", "mac");
    element.add_text("ip", "ip");
    element.add_text("bridge", "bridge");
    element.add_text("ifname", "vifname");
    element.add_text("script", "script");
    const auto type = element.text("type");
    if (type && std::ranges::find(kTypes, *type) == kTypes.end())
        element.wrong("type", "is no type of libxl's");
    element.add("nictype", json_quote(type.value_or("vif")));
    if (const auto rate = element.text("rate")) {
        const std::string_view words = *rate;
        const auto comma = std::min(words.find(','), words.size() - 1);
        const auto bytes = parse_number<std::uint64_t>(words.substr(0, comma));
        const auto interval = parse_number<std::uint32_t>(words.substr(comma + 1));
        if (!bytes || !interval) {
            element.wrong("rate", "is no rate");
        } else {
            element.add("rate_bytes_per_interval", std::to_string(*bytes));
            element.add("rate_interval_usecs", std::to_string(*interval));
        }
    }
    element.add_text("gatewaydev", "gatewaydev");
}

void vtpm(Element& element)
{
    element.add_backend();
    element.add_devid();
    const auto uuid = element.text("uuid");
    if (!uuid) return;
    const auto normal = normal_uuid(*uuid);
    if (!normal)
        element.wrong("uuid", "is no uuid");
    else
        element.add("uuid", json_quote(*normal));
}

void keyboard(Element& element)
{
    constexpr std::array<std::string_view, 3> kTypes = {"unknown", "qemu", "linux"};
    element.add_backend();
    element.add_devid();
    element.add_word("backend_type", "backend-type", kTypes);
    element.add_text("unique_id", "unique-id");
    constexpr std::array<std::pair<const char*, const char*>, 5> kFeatures = {{
        {"feature_disable_keyboard", "feature-disable-keyboard"},
        {"feature_disable_pointer", "feature-disable-pointer"},
        {"feature_abs_pointer", "feature-abs-pointer"},
        {"feature_raw_pointer", "feature-raw-pointer"},
        {"feature_multi_touch", "feature-multi-touch"},
    }};
    for (const auto& [key, node] : kFeatures)
        if (element.is_set(node)) element.add(key, "true");
    constexpr std::array<std::pair<const char*, const char*>, 5> kSizes = {{
        {"width", "width"},
        {"height", "height"},
        {"multi_touch_width", "multi-touch-width"},
        {"multi_touch_height", "multi-touch-height"},
        {"multi_touch_num_contacts", "multi-touch-num-contacts"},
    }};
    for (const auto& [key, node] : kSizes)
        element.add_number(key, node);
}

void add_truth(std::vector<std::pair<std::string, std::string>>& members, Element& element,
               const char* key, const char* node)
{
    if (element.has(node))
        members.emplace_back(key, element.is_set(node) ? "\"True\"" : "\"False\"");
}

void add_words(std::vector<std::pair<std::string, std::string>>& members, Element& element,
               const char* key, const char* node)
{
    if (const auto value = element.text(node)) members.emplace_back(key, json_quote(*value));
}

void framebuffer(Element& element)
{
    element.add_backend();
    element.add_devid();
    std::vector<std::pair<std::string, std::string>> vnc;
    add_truth(vnc, element, "enable", "vnc");
    add_words(vnc, element, "listen", "vnclisten");
    add_words(vnc, element, "passwd", "vncpasswd");
    if (const auto display = element.number("vncdisplay"); display && *display != 0)
        vnc.emplace_back("display", std::to_string(*display));
    add_truth(vnc, element, "findunused", "vncunused");
    element.add("vnc", json_object(vnc));
    std::vector<std::pair<std::string, std::string>> sdl;
    add_truth(sdl, element, "enable", "sdl");
    add_truth(sdl, element, "opengl", "opengl");
    add_words(sdl, element, "display", "display");
    add_words(sdl, element, "xauthority", "xauthority");
    element.add("sdl", json_object(sdl));
    element.add_text("keymap", "keymap");
}

void channel(Element& element)
{
    element.add_backend();
    element.add_devid();
    element.add_text("name", "name");
    const auto connection = element.text("connection").value_or("");
    if (connection == "socket") {
        std::vector<std::pair<std::string, std::string>> at;
        add_words(at, element, "path", "path");
        element.add("connection.socket", json_object(at));
    } else if (connection == "pty") {
        element.add("connection.pty", "{}");
    } else {
        element.wrong("connection", "is no connection of libxl's");
    }
}

void share(Element& element)
{
    element.add_backend();
    element.add_text("tag", "tag");
    element.add_text("path", "path");
    element.add_text("security_model", "security_model");
    element.add_devid();
}

void controller(Element& element)
{
    constexpr std::array<std::string_view, 3> kTypes = {"pv", "devicemodel", "qusb"};
    const auto type = element.text("type").value_or("");
    if (std::ranges::find(kTypes, type) == kTypes.end())
        element.wrong("type", "is no type of libxl's");
    element.add("type", json_quote(type));
    element.add_devid();
    element.add_number("version", "usb-ver");
    element.add_number("ports", "num-ports");
    element.add_backend();
}

void virtio(Element& element)
{
    element.add_backend();
    element.add_text("type", "type");
    element.add_text("transport", "transport");
    element.add_devid();
    element.add_number("irq", "irq");
    element.add_number("base", "base");
}

void numbered(Element& element)
{
    element.add_backend();
    element.add_devid();
}

using Maker = void (*)(Element&);
constexpr std::array<std::pair<std::string_view, Maker>, 12> kMakers = {{
    {"disks", disk},
    {"nics", nic},
    {"vtpms", vtpm},
    {"vkbs", keyboard},
    {"vfbs", framebuffer},
    {"channels", channel},
    {"p9s", share},
    {"usbctrls", controller},
    {"virtios", virtio},
    {"pvcallsifs", numbered},
    {"vdispls", numbered},
    {"vsnds", numbered},
}};

// "msitranslate=0,power_mgmt=0,permissive=1,rdm_policy=strict"; nothing: the option is not there.
std::optional<std::string> option_in(std::string_view options, std::string_view name)
{
    while (!options.empty()) {
        const auto one = options.substr(0, options.find(','));
        if (one.starts_with(std::string(name) + "="))
            return std::string(one.substr(name.size() + 1));
        options.remove_prefix(std::min(options.size(), one.size() + 1));
    }
    return std::nullopt;
}

std::string pci_json(const Tree& tree, const std::string& list, const std::string& number,
                     const PciAddress& at)
{
    std::vector<std::pair<std::string, std::string>> members;
    const auto add = [&](const char* key, unsigned value) {
        if (value != 0) members.emplace_back(key, std::to_string(value));
    };
    add("func", at.function);
    add("dev", at.device);
    add("bus", at.bus);
    add("domain", at.segment);
    const auto slot = tree.value(list + "/vdevfn-" + number).value_or("");
    add("vdevfn", parse_hex<std::uint32_t>(slot).value_or(0));
    const auto options = std::string(tree.value(list + "/opts-" + number).value_or(""));
    for (const char* key : {"msitranslate", "power_mgmt", "permissive"})
        if (option_in(options, key) == "1") members.emplace_back(key, "true");
    const auto policy = option_in(options, "rdm_policy");
    if (policy == "strict" || policy == "relaxed")
        members.emplace_back("rdm_policy", json_quote(*policy));
    const auto name = text_of(tree.value(list + "/name-" + number).value_or(""));
    if (name && !name->empty()) members.emplace_back("name", json_quote(*name));
    return json_object(members);
}

}  // namespace

XenElement element_of(const Tree& tree, const XenDevice& device)
{
    const auto maker = std::ranges::find(kMakers, device.kind->device_class,
                                         &std::pair<std::string_view, Maker>::first);
    if (maker == kMakers.end()) return {{}, device.name() + ": no element is made for it"};
    Element element(tree, device);
    maker->second(element);
    return std::move(element).made();
}

std::vector<XenPciDevice> xen_pci_devices(const Tree& tree, std::int64_t domid)
{
    constexpr std::int32_t kMost = 4096;
    std::vector<XenPciDevice> devices;
    const std::string list = "/local/domain/0/backend/pci/" + std::to_string(domid) + "/0";
    const auto count = number_of(tree.value(list + "/num_devs").value_or(""));
    for (std::int32_t i = 0; i < std::min(count.value_or(0), kMost); ++i) {
        const std::string number = std::to_string(i);
        const auto at = pci_address_from(tree.value(list + "/dev-" + number).value_or(""));
        if (at) devices.push_back({list, number, at->text(), pci_json(tree, list, number, *at)});
    }
    return devices;
}

// What is shown may end up in a log; a password must not.
std::string shown_element(std::string_view json)
{
    const auto vnc = json_find(json, "vnc");
    if (!vnc || !json_find(*vnc, "passwd")) return std::string(json);
    return json_with_member(json, "vnc", json_with_member(*vnc, "passwd", "\"…\""));
}

}  // namespace xlstore::xenstore
