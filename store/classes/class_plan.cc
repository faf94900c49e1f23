// SPDX-License-Identifier: MIT
// kAttachable has the classes that can be attached and the function that makes the plan of each
// from an entry's JSON: pcidevs, usbctrls and usbdevs by device_add, qemu from the steps of the
// request. kNotOverQmp says of the others why not.
// vcpus go by the slots that QEMU names, media by a change of their drive. A draft has the images
// before and after, the plan with its undo, and the probe that tells the images apart. A document's
// strings need not be UTF-8 and QMP is: what cannot be said to QEMU is refused before anything is
// written.
#include "store/classes/class_plan.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include "store/base/limits.hpp"
#include "store/classes/libxl_defaults.hpp"
#include "store/classes/libxl_types.hpp"
#include "store/model/device_class.hpp"
#include "store/model/libxl_fields.hpp"
#include "store/model/pci_address.hpp"
#include "store/model/vdev.hpp"
#include "store/text/json_text.hpp"
#include "store/text/raw_bytes.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kEject = "eject";

Plan single_device(const std::string& id, const std::string& arguments)
{
    Plan plan;
    const Command add{"device_add", arguments};
    Product product = with_undo(Product{"device", id, std::nullopt});
    plan.steps.push_back(Step{add, product.undo, {}, {}});
    plan.probe.products.push_back(std::move(product));
    return plan;
}

// A controller that QEMU emulates. Numbers are strings, as libxl to 4.18 sends them.
Result<Plan> plan_usbctrl(std::string_view json)
{
    if (!is_device_model_controller(DomainType::hvm, json))
        return Error(Errc::invalid, "usbctrls: type " +
                                        json_shown(json_get_string(json, "type").value_or("")) +
                                        " is none that QEMU has: devicemodel and auto are");
    const auto devid = json_get_integer(json, "devid");
    if (!devid || *devid < 0) return Error(Errc::invalid, "usbctrls: \"devid\" is missing");
    // Whether it can have that many ports is asked before it is attached (libxl_defaults.hpp); an
    // entry that is there is looked for by its name all the same.
    const auto whole = with_libxl_defaults("usbctrls", json);
    const std::string_view filled = whole ? std::string_view(*whole) : json;
    const auto version = json_get_integer(filled, "version").value_or(2);
    const auto driver = usbctrl_driver(version);
    if (driver.empty())
        return Error(Errc::invalid,
                     "usbctrls: version " + std::to_string(version) + " is none of 1, 2 and 3");
    const std::string id = "xenusb-" + std::to_string(*devid);
    std::string arguments = "\"driver\":" + json_quote(driver);
    if (version == 3) {
        const auto ports = std::to_string(json_get_integer(filled, "ports").value_or(8));
        arguments += R"(,"p2":")" + ports + R"(","p3":")" + ports + "\"";
    }
    return single_device(id, "{" + arguments + ",\"id\":" + json_quote(id) + "}");
}

// A device of the host's, as libxl has it; or one that QEMU emulates, which libxl has not:
// {"ctrl": 0, "port": 2, "type.emulated": {"driver": "usb-tablet"}}.
Result<Plan> plan_usbdev(std::string_view json)
{
    const auto ctrl = json_get_integer(json, "ctrl");
    const auto port = json_get_integer(json, "port");
    if (!ctrl || *ctrl < 0 || !port || *port < 1)
        return Error(Errc::invalid, "usbdevs: \"ctrl\" or \"port\" is missing");
    const std::string place = R"("bus":"xenusb-)" + std::to_string(*ctrl) + R"(.0","port":")" +
                              std::to_string(*port) + "\"";
    if (const auto emulated = json_find(json, "type.emulated")) {
        const auto driver = json_get_string(*emulated, "driver");
        if (!driver) return Error(Errc::invalid, "usbdevs: an emulated device needs a \"driver\"");
        const std::string id =
            "xenusb-emulated-" + std::to_string(*ctrl) + "-" + std::to_string(*port);
        return single_device(id, "{\"id\":" + json_quote(id) +
                                     ",\"driver\":" + json_quote(*driver) + "," + place + "}");
    }
    const auto host = json_find(json, "type.hostdev");
    const auto bus = host ? json_get_integer(*host, "hostbus") : std::nullopt;
    const auto address = host ? json_get_integer(*host, "hostaddr") : std::nullopt;
    if (!bus || !address)
        return Error(Errc::invalid,
                     "usbdevs: \"type.hostdev\" with \"hostbus\" and \"hostaddr\", or \"busid\", "
                     "is "
                     "missing");
    const std::string id = "xenusb-" + std::to_string(*bus) + "-" + std::to_string(*address);
    return single_device(id, "{\"id\":" + json_quote(id) + R"(,"driver":"usb-host",)" + place +
                                 R"(,"hostbus":")" + std::to_string(*bus) + R"(","hostaddr":")" +
                                 std::to_string(*address) + "\"}");
}

// A device of the host's that is passed through. query-pci, whose answer has the place that QEMU
// chose, comes in libxl's order; the store learns that place as it does of all devices
// (store/qmp/address.hpp).
Result<Plan> plan_pcidev(std::string_view json)
{
    constexpr std::int64_t kAllFunctions = 0xffffffff;
    const auto address = pci_address_of(json);
    if (!address)
        return Error(Errc::invalid,
                     "pcidevs: " + json_shown(json_get_string(json, "name").value_or("")) +
                         " is a name, and which device has it stands in xenstore alone "
                         "(/libxl/pci/ADDRESS/name)",
                     "give its address: \"domain\", \"bus\", \"dev\", \"func\" "
                     "('xl pci-assignable-list -n' prints both)");
    if (json_get_integer(json, "vfunc_mask").value_or(1) == kAllFunctions)
        return Error(Errc::invalid,
                     "pcidevs: a device is not attached with all its functions at once "
                     "(\"vfunc_mask\")",
                     "attach each of its functions by itself");
    const std::string id = address->qemu_id();
    std::string arguments = "{\"driver\":" + json_quote(kPciPassthrough) + ",\"id\":" +
                            json_quote(id) + ",\"hostaddr\":" + json_quote(address->text());
    const auto devfn = json_get_integer(json, "vdevfn").value_or(0);
    if (devfn != 0) arguments += ",\"addr\":" + json_quote(pci_slot_text(devfn));
    if (json_find(json, "permissive") == "true") arguments += ",\"permissive\":true";
    Plan plan = single_device(id, arguments + "}");
    plan.steps.push_back(Step{Command{"query-pci", ""}, std::nullopt, {}, {}});
    return plan;
}

Result<Plan> plan_qemu(std::string_view json)
{
    auto plan = compile_plan(json);
    if (plan && plan->steps.empty())
        return Error(Errc::invalid,
                     "qemu: the plan has no steps, and makes nothing");
    return plan;
}

// What each class that can be attached to a running domain sends. vcpus depend on what QEMU says
// and have a function of their own; a CD drive's medium is changed, not attached.
struct Attachable {
    std::string_view device_class;
    Result<Plan> (*plan)(std::string_view json);
};
constexpr Attachable kAttachable[] = {
    {"qemu", plan_qemu},
    {"pcidevs", plan_pcidev},
    {"usbctrls", plan_usbctrl},
    {"usbdevs", plan_usbdev},
};

// What is not put into a QEMU that runs, and why: libxl does not do it either.
struct NotOverQmp {
    std::string_view device_class;
    std::string_view why;
    std::string_view instead;
};
constexpr std::string_view kByXenstore =
    "the program that writes xenstore attaches it, and writes its entry with "
    "xlstore_fast_put_thing()";
constexpr std::string_view kAtCreation = "give it in the document that the domain is created with";
constexpr NotOverQmp kNotOverQmp[] = {
    {"disks",
     "a disk comes to a running guest through xenstore, and an emulated disk or CD drive only by "
     "QEMU's command line",
     "insert and eject change the medium of a CD drive; of a PV disk the program that writes "
     "xenstore attaches it, and writes its entry with xlstore_fast_put_thing()"},
    {"nics",
     "a nic comes to a running guest through xenstore, and its emulated model (vif_ioemu) only by "
     "QEMU's command line",
     kByXenstore},
    {"rdms", "memory is reserved when the domain is built", kAtCreation},
    {"dtdevs", "the device tree is made when the domain is built", kAtCreation},
    {"channels", "QEMU gets its end of a channel by its command line alone", kAtCreation},
};

Error not_over_qmp(std::string_view device_class)
{
    const std::string what = "things of class " + std::string(device_class) +
                             " cannot be attached to a running domain over QMP: ";
    for (const auto& row : kNotOverQmp)
        if (row.device_class == device_class)
            return Error(Errc::invalid, what + std::string(row.why), std::string(row.instead));
    return Error(Errc::invalid, what + "they are xenstore's", std::string(kByXenstore));
}

// A thing that is to be attached: checked, minified, and named.
struct Wanted {
    ThingName name;
    std::string json;
};

Result<Wanted> wanted(std::string_view device_class, std::string_view json)
{
    const auto* row = find_device_class(device_class);
    if (!row) {
        std::string known;
        for (const auto& c : device_classes())
            known += (known.empty() ? "" : " ") + std::string(c.name);
        return Error(Errc::invalid, "there is no device class " + json_shown(device_class),
                     "classes: " + known);
    }
    const std::string what = "thing of class " + std::string(device_class);
    auto text = json_minify(json, what, limits::thing_bytes_max);
    if (!text) return std::move(text).error();
    if (json_type(*text) != JsonType::object)
        return Error(Errc::invalid, what + ": it is not a JSON object");
    auto key = thing_key(*row, *text, 0);
    if (!key) return std::move(key).error();
    return Wanted{ThingName{std::string(device_class), *std::move(key)}, *std::move(text)};
}

// QMP is UTF-8; a document's strings need not be.
Result<void> check_can_be_said(const ThingName& thing, const Plan& plan)
{
    for (const auto& step : plan.steps)
        if (holds_raw_bytes(step.command.arguments) ||
            (step.undo && holds_raw_bytes(step.undo->arguments)))
            return Error(Errc::invalid,
                         thing.text() + ": " + step.command.execute +
                             " cannot be sent to QEMU: an argument is not UTF-8",
                         "nothing was changed; give it a name that is");
    return {};
}

Draft add_draft(Wanted thing, Plan plan)
{
    return Draft{Verb::add,    std::move(thing.name), std::nullopt, std::move(thing.json),
                 std::nullopt, std::move(plan)};
}

// The order in which QEMU numbers its processors.
std::vector<std::int64_t> vcpu_place(std::string_view props)
{
    std::vector<std::int64_t> place;
    for (const char* level : {"node-id", "drawer-id", "book-id", "socket-id", "die-id",
                              "cluster-id", "core-id", "thread-id"})
        place.push_back(json_get_integer(props, level).value_or(0));
    return place;
}

}  // namespace

std::string_view usbctrl_driver(std::int64_t version) noexcept
{
    switch (version) {
    case 1:
        return "piix3-usb-uhci";
    case 2:
        return "usb-ehci";
    case 3:
        return "nec-usb-xhci";
    default:
        return {};
    }
}

std::vector<VcpuSlot> vcpu_slots(std::string_view answer)
{
    std::vector<VcpuSlot> slots;
    for (const auto element : json_elements(answer))
        slots.push_back(VcpuSlot{json_get_string(element, "type").value_or(""),
                                 std::string(json_find(element, "props").value_or("{}")),
                                 json_get_string(element, "qom-path")});
    std::stable_sort(slots.begin(), slots.end(), [](const VcpuSlot& a, const VcpuSlot& b) {
        return vcpu_place(a.props) < vcpu_place(b.props);
    });
    return slots;
}

std::string vcpu_in_slot(std::string_view json, const VcpuSlot& slot)
{
    return json_with_member(json_with_member(json, "driver", json_quote(slot.driver)), "props",
                            slot.props);
}

bool is_vdev(std::string_view name)
{
    return vdev_number(name).has_value();
}

std::optional<std::string> drive_of(const ThingRow& entry)
{
    if (entry.name.device_class != "disks" ||
        json_get_integer(entry.json, "is_cdrom").value_or(0) == 0)
        return std::nullopt;
    const auto number = vdev_number(entry.name.key);
    if (!number) return std::nullopt;
    return "ide-" + std::to_string(*number);
}

// A medium as libxl names the descriptor set it comes by.
std::optional<std::string> medium_of(std::string_view disk)
{
    const auto format = json_get_string(disk, "format").value_or("raw");
    const auto path = json_get_string(disk, "pdev_path").value_or("");
    if (format == "empty" || path.empty()) return std::nullopt;
    return format + ":" + path;
}

std::string with_medium(std::string_view disk, std::string_view path, std::string_view format)
{
    const auto with_path = with_libxl_member("disks", disk, "pdev_path", json_quote(path));
    return with_libxl_member("disks", with_path, "format", json_quote(format));
}

std::vector<Product> products_of(const ThingRow& entry)
{
    const auto& [device_class, key] = entry.name;
    std::vector<Product> products;
    if (device_class == "vcpus") {
        products.push_back(with_undo(Product{"device", "cpu-" + key, std::nullopt}));
    } else if (device_class == "pcidevs") {
        if (const auto address = pci_address_of(entry.json))
            products.push_back(with_undo(Product{"device", address->qemu_id(), std::nullopt}));
    } else if (device_class == "qemu") {
        // Its text may be damaged, which xlfsck repairs.
        if (const auto text = json_minify(entry.json, "entry"))
            if (auto plan = compile_plan(*text)) products = std::move(plan->probe.products);
    } else if (auto draft = draft_attach(device_class, entry.json)) {
        products = std::move(draft->plan.probe.products);
    }
    return products;
}

Result<ThingName> name_of_attach(std::string_view device_class, std::string_view json)
{
    auto thing = wanted(device_class, json);
    if (!thing) return std::move(thing).error();
    return std::move(thing->name);
}

Result<Draft> draft_attach(std::string_view device_class, std::string_view json)
{
    auto thing = wanted(device_class, json);
    if (!thing) return std::move(thing).error();
    const auto* attachable =
        std::find_if(std::begin(kAttachable), std::end(kAttachable),
                     [&](const Attachable& a) { return a.device_class == device_class; });
    if (attachable == std::end(kAttachable)) return not_over_qmp(device_class);
    auto plan = attachable->plan(thing->json);
    if (!plan) return std::move(plan).error();
    if (auto ok = check_can_be_said(thing->name, *plan); !ok) return std::move(ok).error();
    return add_draft(*std::move(thing), *std::move(plan));
}

Result<Draft> draft_hot_plug(std::string_view device_class, std::string_view json)
{
    auto thing = wanted(device_class, json);
    if (!thing) return std::move(thing).error();
    if (auto ok = check_libxl_types(device_class, thing->json); !ok) return std::move(ok).error();
    auto whole = with_libxl_defaults(device_class, thing->json);
    if (!whole) return std::move(whole).error();
    return draft_attach(device_class, *whole);
}

Result<Draft> draft_attach_vcpu(std::string_view json, std::string_view slots)
{
    auto thing = wanted("vcpus", json);
    if (!thing) return std::move(thing).error();
    const std::string& key = thing->name.key;
    const auto index = *json_get_integer(thing->json, "index");

    const auto all = vcpu_slots(slots);
    if (index < 0 || index >= static_cast<std::int64_t>(all.size()))
        return Error(Errc::invalid, "vcpus: QEMU has room for " + std::to_string(all.size()) +
                                        " vcpus; there is no index " + std::to_string(index));
    const auto& slot = all[static_cast<std::size_t>(index)];
    if (slot.qom_path)
        return Error(Errc::exists, "vcpus/" + key + " is in QEMU already", "nothing was changed");
    if (slot.driver.empty()) return Error(Errc::protocol, "QEMU names no driver for vcpu " + key);
    const std::string id = "cpu-" + key;
    std::string arguments = "{\"id\":" + json_quote(id) + ",\"driver\":" + json_quote(slot.driver);
    // In libxl's order, which is not QEMU's.
    constexpr std::array<std::string_view, 3> first = {"socket-id", "core-id", "thread-id"};
    for (const auto name : first)
        if (const auto value = json_find(slot.props, name))
            arguments += "," + json_quote(name) + ":" + std::string(*value);
    for (const auto& prop : json_members(slot.props))
        if (std::find(first.begin(), first.end(), prop.key) == first.end())
            arguments += "," + std::string(prop.key_text) + ":" + std::string(prop.value);
    thing->json = vcpu_in_slot(thing->json, slot);
    return add_draft(*std::move(thing), single_device(id, arguments + "}"));
}

namespace {

// What shows that QEMU has nothing of a stale entry which this version cannot take out of it.
std::optional<Probe> proof_of_absence(const ThingRow& entry, const std::vector<Product>& of_others)
{
    Probe probe;
    if (!of_others.empty()) {  // a name is one thing's alone
        probe.absent =
            "what it would be made of in QEMU is another entry's: " + of_others.front().kind + " " +
            json_shown(of_others.front().name);
        return probe;
    }
    if (entry.state != "stale") return std::nullopt;
    if (const auto drive = drive_of(entry)) {
        probe.drive = DriveProbe{*drive, {}, {}, {}, {}};
    } else {
        return std::nullopt;
    }
    return probe;
}

}  // namespace

Result<Draft> draft_detach(const ThingRow& entry, const MadeOf& made)
{
    Plan plan;
    plan.probe.products = made.products;
    if (made.products.empty()) {
        auto proof = proof_of_absence(entry, made.of_others);
        if (!proof)
            return Error(
                Errc::invalid,
                entry.name.text() + " cannot be detached from a running domain by this version",
                "nothing was changed; a CD drive stays as long as its QEMU, and 'xlstore eject' "
                "empties it");
        plan.probe = *std::move(proof);
    } else {
        plan.steps = removal_steps(made.products);
        // As libxl asks; whether it is gone is found out by the probe.
        if (entry.name.device_class == "pcidevs")
            plan.steps.push_back(Step{Command{"query-pci", ""}, std::nullopt, {}, {}});
    }
    return Draft{Verb::remove, entry.name, entry.json, std::nullopt, std::nullopt, std::move(plan)};
}

Result<Draft> draft_change(const ThingRow& entry, std::string image_after)
{
    const auto its_drive = drive_of(entry);
    if (!its_drive)
        return Error(Errc::invalid, entry.name.text() +
                                        " is no CD drive that QEMU has: is_cdrom "
                                        "is not set, or libxl knows no such vdev");
    const std::string& drive = *its_drive;
    const std::string id = "{\"id\":" + json_quote(drive) + "}";

    Draft draft{Verb::change,
                entry.name,
                entry.json,
                std::move(image_after),
                with_medium(entry.json, "", "empty"),
                {}};
    draft.plan.probe.drive =
        DriveProbe{drive, medium_of(*draft.image_before), medium_of(*draft.image_after), {}, {}};
    auto& steps = draft.plan.steps;
    steps.push_back(Step{Command{"query-version", ""}, std::nullopt, {}, {}});
    steps.push_back(Step{Command{std::string(kEject), id}, std::nullopt, {}, {}});
    if (const auto& medium = draft.plan.probe.drive->after) {
        const auto format = json_get_string(*draft.image_after, "format").value_or("raw");
        steps.push_back(Step{Command{"add-fd", "{\"opaque\":" + json_quote(*medium) + "}"},
                             Command{"remove-fd", R"({"fdset-id":"$fdset"})"},
                             json_get_string(*draft.image_after, "pdev_path").value_or(""),
                             "fdset"});
        steps.push_back(Step{Command{"blockdev-change-medium",
                                     "{\"id\":" + json_quote(drive) +
                                         ",\"filename\":\"/dev/fdset/$fdset\",\"format\":" +
                                         json_quote(format) + "}"},
                             std::nullopt,
                             {},
                             {}});
    }
    if (auto ok = check_can_be_said(entry.name, draft.plan); !ok) return std::move(ok).error();
    return draft;
}

Result<Draft> draft_insert(const ThingRow& entry, std::string_view file)
{
    if (!is_utf8(file) || file.find('\0') != std::string_view::npos)
        return Error(Errc::invalid, "the path " + json_shown(file) + " is not UTF-8",
                     "nothing was changed; rename the image");
    return draft_change(entry, with_medium(entry.json, file, "raw"));
}

Result<Draft> draft_eject(const ThingRow& entry)
{
    return draft_change(entry, with_medium(entry.json, "", "empty"));
}

bool opens_tray(const Command& command) noexcept
{
    return command.execute == kEject;
}

void open_by_force(Plan& plan)
{
    for (auto& step : plan.steps)
        if (opens_tray(step.command))
            step.command.arguments = json_with_member(step.command.arguments, "force", "true");
}

}  // namespace xlstore
