// SPDX-License-Identifier: MIT
// Which devices a domain has. Paths are put together from numbers and from names of one table, and
// what libxl's node says is compared with them: no text of the tree becomes a path.
#include "store/xenstore/xen_device.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "store/model/vdev.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore::xenstore {

namespace {

constexpr std::array<std::string_view, 3> kDisks = {"vbd", "qdisk", "vbd3"};
constexpr std::array<std::string_view, 1> kVirtioDisks = {"virtio_disk"};
constexpr std::array<std::string_view, 1> kNics = {"vif"};
constexpr std::array<std::string_view, 2> kKeyboards = {"vkbd", "vinput"};
constexpr std::array<std::string_view, 1> kFramebuffers = {"vfb"};
constexpr std::array<std::string_view, 1> kConsoles = {"console"};
constexpr std::array<std::string_view, 1> kTpms = {"vtpm"};
constexpr std::array<std::string_view, 2> kShares = {"9pfs", "xen_9pfs"};
constexpr std::array<std::string_view, 1> kCalls = {"pvcalls"};
constexpr std::array<std::string_view, 1> kDisplays = {"vdispl"};
constexpr std::array<std::string_view, 1> kSounds = {"vsnd"};
constexpr std::array<std::string_view, 2> kControllers = {"vusb", "qusb"};
constexpr std::array<std::string_view, 1> kVirtios = {"virtio"};

constexpr std::array kDeviceKinds = {
    DeviceKind{"vbd", "disks", kDisks},
    DeviceKind{"virtio_disk", "disks", kVirtioDisks},
    DeviceKind{"vif", "nics", kNics},
    DeviceKind{"vfb", "vfbs", kFramebuffers},
    DeviceKind{"vkbd", "vkbs", kKeyboards},
    DeviceKind{"virtio", "virtios", kVirtios},
    DeviceKind{"vtpm", "vtpms", kTpms},
    DeviceKind{"9pfs", "p9s", kShares},
    DeviceKind{"pvcalls", "pvcallsifs", kCalls},
    DeviceKind{"vdispl", "vdispls", kDisplays},
    DeviceKind{"vsnd", "vsnds", kSounds},
    DeviceKind{"console", "channels", kConsoles},
    DeviceKind{"vusb", "usbctrls", kControllers},
};

std::string home(std::int64_t domid)
{
    return "/local/domain/" + std::to_string(domid);
}

std::string libxl_devices_of(std::int64_t domid)
{
    return "/libxl/" + std::to_string(domid) + "/device";
}

std::string back(std::int32_t of, std::string_view kind, std::int64_t domid)
{
    return home(of) + "/backend/" + std::string(kind) + "/" + std::to_string(domid);
}

// The domain's first console stands where no other device does.
std::string front(std::int64_t domid, std::string_view kind, std::int32_t devid)
{
    if (kind == "console" && devid == 0) return home(domid) + "/console";
    return home(domid) + "/device/" + std::string(kind) + "/" + std::to_string(devid);
}

std::string flaw_of(std::string_view part, std::string_view path)
{
    return "its " + std::string(part) + " would be " +
           json_shown(plain_text(path, limits::operation_bytes_max)) + ", which is no path of it";
}

// The domain of a back end whose path is exactly the one of this device; nothing: it is none.
std::optional<std::int32_t> backend_domid(std::string_view path, const DeviceKind& kind,
                                          std::int64_t domid, std::int32_t devid)
{
    constexpr std::string_view kStem = "/local/domain/";
    if (!path.starts_with(kStem)) return std::nullopt;
    const auto of =
        number_of(path.substr(kStem.size(), path.find('/', kStem.size()) - kStem.size()));
    if (!of || *of < 0) return std::nullopt;
    for (const auto name : kind.backs)
        if (path == back(*of, name, domid) + "/" + std::to_string(devid)) return of;
    return std::nullopt;
}

// By the directory below which it stands: numbers only, as a toolstack spells them.
std::optional<std::int32_t> devid_in(std::string_view name)
{
    const auto devid = number_of(name);
    if (!devid || *devid < 0 || std::to_string(*devid) != name) return std::nullopt;
    return devid;
}

XenDevice libxl_device(const Tree& tree, std::int64_t domid, const DeviceKind& kind,
                       std::int32_t devid)
{
    XenDevice device;
    device.kind = &kind;
    device.devid = devid;
    device.libxl_node =
        libxl_devices_of(domid) + "/" + std::string(kind.front) + "/" + std::to_string(devid);
    device.frontend = front(domid, kind.front, devid);
    device.has_libxl_node = tree.contains(device.libxl_node);
    device.has_frontend = tree.contains(device.frontend);
    if (!device.has_libxl_node) return device;
    device.of_device_model =
        kind.front == "vusb" && tree.value(device.libxl_node + "/type") == "devicemodel";
    if (device.of_device_model) return device;
    const auto backend = tree.value(device.libxl_node + "/backend");
    const auto of = backend ? backend_domid(*backend, kind, domid, devid) : std::nullopt;
    if (!backend) {
        // A node alone: made by a recovery that was killed while it proved that there is none.
        const bool has_back = std::ranges::any_of(kind.backs, [&](const auto name) {
            return tree.contains(back(0, name, domid) + "/" + std::to_string(devid));
        });
        const bool alone =
            !has_back && !device.has_frontend && tree.children(device.libxl_node).empty();
        if (!alone) device.flaw = "libxl's node of it names no back end";
    } else if (!of) {
        device.flaw = flaw_of("back end", *backend);
    } else {
        device.backend = *backend;
        device.backend_domid = *of;
        device.has_backend = tree.contains(*backend);
    }
    const auto frontend = tree.value(device.libxl_node + "/frontend");
    if (device.flaw.empty() && frontend && *frontend != device.frontend)
        device.flaw = flaw_of("front end", *frontend);
    return device;
}

// Back ends in `of` that no node of libxl's in `found` names.
void add_left(const Tree& tree, std::int64_t domid, const DeviceKind& kind, std::int32_t of,
              std::vector<XenDevice>& found)
{
    for (const auto name : kind.backs) {
        const std::string directory = back(of, name, domid);
        for (const auto& child : tree.children(directory)) {
            const auto devid = devid_in(child);
            const std::string path = directory + "/" + child;
            if (!devid || std::ranges::any_of(
                              found, [&](const XenDevice& one) { return one.backend == path; }))
                continue;
            XenDevice device = libxl_device(tree, domid, kind, *devid);
            if (device.has_libxl_node)
                continue;  // it names another one: that is its flaw, or its choice
            device.backend = path;
            device.backend_domid = of;
            device.has_backend = true;
            found.push_back(std::move(device));
        }
    }
}

std::set<std::int32_t> backend_domains(const Tree& tree, std::int64_t domid)
{
    std::set<std::int32_t> domains = {0};
    for (const auto& kind : kDeviceKinds)
        for (const auto& child :
             tree.children(libxl_devices_of(domid) + "/" + std::string(kind.front)))
            if (const auto devid = devid_in(child))
                if (const auto device = libxl_device(tree, domid, kind, *devid);
                    !device.backend.empty())
                    domains.insert(device.backend_domid);
    return domains;
}

}  // namespace

std::span<const DeviceKind> device_kinds()
{
    return kDeviceKinds;
}

std::string XenDevice::name() const
{
    return std::string(kind->front) + "/" + std::to_string(devid);
}

std::vector<std::string> device_roots(std::int64_t domid)
{
    std::vector<std::string> roots = {"/libxl/" + std::to_string(domid), home(domid) + "/device",
                                      home(domid) + "/console", back(0, "pci", domid)};
    for (const auto& kind : kDeviceKinds)
        for (const auto name : kind.backs)
            roots.push_back(back(0, name, domid));
    return roots;
}

std::vector<std::string> driver_domain_roots(const Tree& tree, std::int64_t domid)
{
    std::vector<std::string> roots;
    for (const auto of : backend_domains(tree, domid)) {
        if (of == 0) continue;
        for (const auto& kind : kDeviceKinds)
            for (const auto name : kind.backs)
                roots.push_back(back(of, name, domid));
    }
    return roots;
}

std::vector<XenDevice> xen_devices(const Tree& tree, std::int64_t domid)
{
    std::vector<XenDevice> found;
    for (const auto& kind : kDeviceKinds)
        for (const auto& child :
             tree.children(libxl_devices_of(domid) + "/" + std::string(kind.front)))
            if (const auto devid = devid_in(child))
                found.push_back(libxl_device(tree, domid, kind, *devid));
    for (const auto of : backend_domains(tree, domid))
        for (const auto& kind : kDeviceKinds)
            add_left(tree, domid, kind, of, found);
    return found;
}

std::vector<std::pair<std::int32_t, std::string>> used_ports(const Tree& tree,
                                                             const XenDevice& device)
{
    std::vector<std::pair<std::int32_t, std::string>> ports;
    if (device.kind->front != "vusb") return ports;
    // libxl writes a port that is taken into the back end of a controller that has one.
    const std::string directory =
        (device.has_backend ? device.backend : device.libxl_node) + "/port";
    for (const auto& child : tree.children(directory)) {
        const auto number = devid_in(child);
        const auto value = tree.value(directory + "/" + child);
        if (!number || *number == 0 || !value || value->empty()) continue;
        ports.emplace_back(*number, plain_text(*value, limits::operation_bytes_max));
    }
    std::ranges::sort(ports);
    return ports;
}

std::optional<std::int64_t> devid_of(const ThingName& name, std::string_view json)
{
    if (name.device_class == "disks")
        return vdev_number(json_get_string(json, "vdev").value_or(""));
    const auto devid = json_get_integer(json, "devid");
    return devid && *devid >= 0 ? devid : std::nullopt;
}

std::optional<bool> is_thing(const Tree& tree, const XenDevice& device, const ThingName& name,
                             std::string_view json)
{
    if (name.device_class != device.kind->device_class) return false;
    if (name.device_class == "disks") {
        const bool virtio = json_get_string(json, "specification").value_or("") == "virtio";
        if (virtio != (device.kind->front == "virtio_disk")) return false;
        if (const auto number = devid_of(name, json)) return *number == device.devid;
        // What a name stands for that libxl has no number for, libxl's node alone knows.
        const auto vdev = json_get_string(json, "vdev").value_or("");
        return !vdev.empty() && tree.value(device.libxl_node + "/dev") == vdev;
    }
    const auto devid = devid_of(name, json);
    if (!devid) return std::nullopt;
    return *devid == device.devid;
}

bool is_of_domain(const XenDevice& device, bool has_device_model)
{
    if (device.devid != 0) return false;
    return device.kind->front == "console" || (has_device_model && device.kind->front == "vkbd");
}

}  // namespace xlstore::xenstore
