// SPDX-License-Identifier: MIT
#include "store/class_plan.hpp"

#include <charconv>

#include "store/device_class.hpp"
#include "store/json_text.hpp"
#include "store/limits.hpp"

namespace xlstore {

namespace {

// libxl's device number of a whole disk ("hdc" is 5632); QEMU's id of an emulated drive is made of
// it. Nothing for names that libxl does not know.
std::optional<std::int64_t> device_number(std::string_view vdev)
{
    const auto letters = [](std::string_view name) -> std::optional<std::int64_t> {
        if (name.empty() || name.size() > 3) return std::nullopt;
        std::int64_t disk = 0;  // a, b, … z, aa, ab, …
        for (const char c : name) {
            if (c < 'a' || c > 'z') return std::nullopt;
            disk = disk * 26 + (c - 'a' + 1);
        }
        return disk - 1;
    };
    const auto xen_disk = [](std::int64_t disk) {
        return disk < 16 ? (202 << 8) | (disk << 4) : (std::int64_t{1} << 28) | (disk << 8);
    };
    if (vdev.starts_with("xvd")) {
        const auto disk = letters(vdev.substr(3));
        if (!disk) return std::nullopt;
        return xen_disk(*disk);
    }
    if (vdev.starts_with("hd")) {
        const auto disk = letters(vdev.substr(2));
        if (!disk || *disk > 3) return std::nullopt;
        return ((*disk < 2 ? 3 : 22) << 8) | ((*disk & 1) << 6);
    }
    if (vdev.starts_with("sd")) {
        const auto disk = letters(vdev.substr(2));
        if (!disk || *disk > 15) return std::nullopt;
        return (8 << 8) | (*disk << 4);
    }
    if (vdev.starts_with("d")) {
        std::int64_t disk = 0;
        const auto* end = vdev.data() + vdev.size();
        const auto [at, error] = std::from_chars(vdev.data() + 1, end, disk);
        if (error != std::errc() || at != end || disk < 0 || disk > 0xfffff) return std::nullopt;
        return xen_disk(disk);
    }
    return std::nullopt;
}

// A medium as libxl names the descriptor set it comes by; nothing for an empty drive.
std::optional<std::string> medium_of(std::string_view disk)
{
    const auto format = json_get_string(disk, "format").value_or("raw");
    const auto path = json_get_string(disk, "pdev_path").value_or("");
    if (format == "empty" || path.empty()) return std::nullopt;
    return format + ":" + path;
}

std::string with_medium(std::string_view disk, std::string_view path, std::string_view format)
{
    return json_with_member(json_with_member(disk, "pdev_path", json_quote(path)), "format",
                            json_quote(format));
}

Result<Draft> draft_change(const ThingRow& entry, std::string image_after)
{
    const auto not_a_drive = [&](const std::string& why) {
        return Error(Errc::invalid, entry.name.text() + " is no CD drive that QEMU has: " + why);
    };
    if (entry.name.device_class != "disks" ||
        json_get_integer(entry.json, "is_cdrom").value_or(0) == 0)
        return not_a_drive("is_cdrom is not set");
    const auto number = device_number(entry.name.key);
    if (!number) return not_a_drive("libxl knows no vdev of that name");
    const std::string drive = "ide-" + std::to_string(*number);
    const std::string id = "{\"id\":" + json_quote(drive) + "}";

    Draft draft{Verb::change,
                entry.name,
                entry.json,
                std::move(image_after),
                with_medium(entry.json, "", "empty"),
                {}};
    draft.plan.probe.drive =
        DriveProbe{drive, medium_of(*draft.image_before), medium_of(*draft.image_after), {}};
    auto& steps = draft.plan.steps;
    steps.push_back(Step{{"query-version", ""}, std::nullopt, {}, {}});
    steps.push_back(Step{{"eject", id}, std::nullopt, {}, {}});
    if (const auto& medium = draft.plan.probe.drive->after) {
        const auto format = json_get_string(*draft.image_after, "format").value_or("raw");
        steps.push_back(Step{{"add-fd", "{\"opaque\":" + json_quote(*medium) + "}"},
                             Command{"remove-fd", R"({"fdset-id":"$fdset"})"},
                             json_get_string(*draft.image_after, "pdev_path").value_or(""),
                             "fdset"});
        steps.push_back(
            Step{{"blockdev-change-medium",
                  "{\"id\":" + json_quote(drive) +
                      ",\"filename\":\"/dev/fdset/$fdset\",\"format\":" + json_quote(format) + "}"},
                 std::nullopt,
                 {},
                 {}});
    }
    return draft;
}

}  // namespace

Result<Draft> draft_attach(std::string_view device_class, std::string_view json)
{
    const auto* row = find_device_class(device_class);
    if (!row) {
        std::string known;
        for (const auto& c : device_classes())
            known += (known.empty() ? "" : " ") + std::string(c.name);
        return Error(Errc::invalid, "there is no device class " + json_shown(device_class),
                     "classes: " + known);
    }
    auto text =
        json_minify(json, "thing of class " + std::string(device_class), limits::thing_bytes_max);
    if (!text) return std::move(text).error();
    if (json_type(*text) != JsonType::object)
        return Error(Errc::invalid,
                     "thing of class " + std::string(device_class) + ": it is not a JSON object");
    if (device_class != "qemu")
        return Error(Errc::invalid, "things of class " + std::string(device_class) +
                                        " cannot be attached to a running domain by this version");
    auto key = thing_key(*row, *text, 0);
    if (!key) return std::move(key).error();
    auto plan = compile_plan(*text);
    if (!plan) return std::move(plan).error();
    return Draft{Verb::add,    ThingName{std::string(device_class), *std::move(key)},
                 std::nullopt, *std::move(text),
                 std::nullopt, *std::move(plan)};
}

Result<Draft> draft_detach(const ThingRow& entry)
{
    if (entry.name.device_class != "qemu")
        return Error(Errc::invalid,
                     "things of class " + entry.name.device_class +
                         " cannot be detached from a running domain by this version");
    auto plan = compile_plan(entry.json);
    if (!plan) return std::move(plan).error();
    plan->steps = removal_steps(plan->probe.products);
    return Draft{Verb::remove, entry.name,   entry.json,
                 std::nullopt, std::nullopt, *std::move(plan)};
}

Result<Draft> draft_insert(const ThingRow& entry, std::string_view file)
{
    return draft_change(entry, with_medium(entry.json, file, "raw"));
}

Result<Draft> draft_eject(const ThingRow& entry)
{
    return draft_change(entry, with_medium(entry.json, "", "empty"));
}

}  // namespace xlstore
