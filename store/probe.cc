// SPDX-License-Identifier: MIT
#include "store/probe.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "store/json_text.hpp"

namespace xlstore {

namespace {

using qmp::Monitor;
using qmp::Reply;

// An answer that is not what was asked for proves nothing, least of all absence.
Error no_answer(const std::string& command)
{
    return Error(Errc::protocol, "QEMU's answer to " + command + " is not what was asked for");
}

// The string `member` of each element; every element has to have it.
Result<std::set<std::string>> strings_of(std::string_view array, std::string_view member,
                                         const std::string& command)
{
    if (json_type(array) != JsonType::array) return no_answer(command);
    std::set<std::string> names;
    for (const auto element : json_elements(array)) {
        auto name = json_get_string(element, member);
        if (!name) return no_answer(command);
        names.insert(*std::move(name));
    }
    return names;
}

Task<Result<std::set<std::string>>> children_of(Monitor& monitor, std::string path, Deadline until)
{
    const std::string arguments = "{\"path\":" + json_quote(path) + "}";
    auto answer = co_await ask(monitor, "qom-list", arguments, until);
    if (!answer) co_return std::move(answer).error();
    if (json_type(*answer) != JsonType::array) co_return no_answer("qom-list");
    std::set<std::string> names;
    for (const auto element : json_elements(*answer)) {
        const auto type = json_get_string(element, "type");
        auto name = json_get_string(element, "name");
        if (!type || !name) co_return no_answer("qom-list");
        if (type->starts_with("child<")) names.insert(*std::move(name));
    }
    co_return names;
}

// QMP of 7.2 has no query for network back ends; the human monitor lists each as "ID: index=…",
// those behind a device after " \ ".
Task<Result<std::set<std::string>>> netdevs(Monitor& monitor, Deadline until)
{
    auto answer =
        co_await ask(monitor, "human-monitor-command", R"({"command-line":"info network"})", until);
    if (!answer) co_return std::move(answer).error();
    if (json_type(*answer) != JsonType::string) co_return no_answer("info network");
    const std::string text = json_decode_string(*answer);
    std::set<std::string> names;
    std::size_t at = 0;
    while (at < text.size()) {
        auto end = text.find('\n', at);
        if (end == std::string::npos) end = text.size();
        const std::string_view line = std::string_view(text).substr(at, end - at);
        const auto start = line.find_first_not_of(" \\");
        const auto colon = line.find(": index=");
        if (start != std::string_view::npos && colon != std::string_view::npos && start < colon)
            names.emplace(line.substr(start, colon - start));
        at = end + 1;
    }
    co_return names;
}

Task<Result<std::set<std::string>>> names_of_kind(Monitor& monitor, std::string kind,
                                                  Deadline until)
{
    if (kind == "device") co_return co_await children_of(monitor, "/machine/peripheral", until);
    if (kind == "anonymous")
        co_return co_await children_of(monitor, "/machine/peripheral-anon", until);
    if (kind == "object") co_return co_await children_of(monitor, "/objects", until);
    if (kind == "netdev") co_return co_await netdevs(monitor, until);
    if (kind == "chardev") {
        auto answer = co_await ask(monitor, "query-chardev", "", until);
        if (!answer) co_return std::move(answer).error();
        co_return strings_of(*answer, "label", "query-chardev");
    }
    if (kind == "node") {
        auto answer = co_await ask(monitor, "query-named-block-nodes", R"({"flat":true})", until);
        if (!answer) co_return std::move(answer).error();
        co_return strings_of(*answer, "node-name", "query-named-block-nodes");
    }
    co_return Error(Errc::invalid, "nothing is known to ask for a " + kind);
}

constexpr std::string_view kFdsetPath = "/dev/fdset/";

// The descriptor sets that QEMU has been passed, and what its block nodes are made of.
struct DescriptorSets {
    std::map<std::int64_t, std::string> opaque_of;
    std::set<std::string> files_in_use;

    // Made by add-fd with this text, and no block node uses it: a plan broke off after it, or QEMU
    // has not dropped it yet, which it does only while the guest runs.
    [[nodiscard]] std::vector<std::int64_t> unused(const std::string& opaque) const
    {
        std::vector<std::int64_t> ids;
        for (const auto& [id, text] : opaque_of)
            if (text == opaque &&
                !files_in_use.contains(std::string(kFdsetPath) + std::to_string(id)))
                ids.push_back(id);
        return ids;
    }
};

Task<Result<DescriptorSets>> descriptor_sets(Monitor& monitor, Deadline until)
{
    DescriptorSets found;
    auto sets = co_await ask(monitor, "query-fdsets", "", until);
    if (!sets) co_return std::move(sets).error();
    if (json_type(*sets) != JsonType::array) co_return no_answer("query-fdsets");
    for (const auto element : json_elements(*sets)) {
        const auto id = json_get_integer(element, "fdset-id");
        const auto fds = json_find(element, "fds");
        if (!id || !fds) co_return no_answer("query-fdsets");
        std::string opaque;
        for (const auto fd : json_elements(*fds))
            opaque = json_get_string(fd, "opaque").value_or(opaque);
        found.opaque_of[*id] = opaque;
    }
    auto nodes = co_await ask(monitor, "query-named-block-nodes", R"({"flat":true})", until);
    if (!nodes) co_return std::move(nodes).error();
    auto files = strings_of(*nodes, "file", "query-named-block-nodes");
    if (!files) co_return std::move(files).error();
    found.files_in_use = *std::move(files);
    co_return found;
}

// What is in the drives.
struct Drives {
    struct Drive {
        std::string id;
        std::optional<std::string> file;  // as QEMU names it; nothing: empty
    };
    std::vector<Drive> drives;
    DescriptorSets sets;  // that media came by

    [[nodiscard]] static std::optional<std::int64_t> fdset_of(std::string_view file)
    {
        if (!file.starts_with(kFdsetPath)) return std::nullopt;
        return json_integer(file.substr(kFdsetPath.size()));
    }
    // "raw:/a.iso" by name of the set, or the path itself for a medium from the command line.
    [[nodiscard]] bool is_medium(const std::string& file, const std::string& medium) const
    {
        if (const auto fdset = fdset_of(file)) {
            const auto it = sets.opaque_of.find(*fdset);
            return it != sets.opaque_of.end() && it->second == medium;
        }
        return file == medium.substr(std::min(medium.find(':') + 1, medium.size()));
    }
    [[nodiscard]] std::string shown(const std::string& file) const
    {
        const auto fdset = fdset_of(file);
        const auto it = fdset ? sets.opaque_of.find(*fdset) : sets.opaque_of.end();
        return qmp::printable(it == sets.opaque_of.end() ? file : it->second);
    }
};

Task<Result<Drives>> look_at_drives(Monitor& monitor, bool fdsets, Deadline until)
{
    Drives found;
    auto blocks = co_await ask(monitor, "query-block", "", until);
    if (!blocks) co_return std::move(blocks).error();
    if (json_type(*blocks) != JsonType::array) co_return no_answer("query-block");
    for (const auto element : json_elements(*blocks)) {
        if (!json_get_string(element, "device")) co_return no_answer("query-block");
        Drives::Drive drive;
        drive.id = json_get_string(element, "device").value_or("");
        if (drive.id
                .empty()) {  // made without a back end: named by its device, by path for older QEMU
            const auto qdev = json_get_string(element, "qdev").value_or("");
            constexpr std::string_view peripheral = "/machine/peripheral/";
            drive.id = qdev.starts_with(peripheral) ? qdev.substr(peripheral.size()) : qdev;
        }
        if (const auto inserted = json_find(element, "inserted")) {
            drive.file = json_get_string(*inserted, "file");
            if (!drive.file) co_return no_answer("query-block");
        }
        found.drives.push_back(std::move(drive));
    }
    if (!fdsets) co_return found;
    auto sets = co_await descriptor_sets(monitor, until);
    if (!sets) co_return std::move(sets).error();
    found.sets = *std::move(sets);
    co_return found;
}

Evidence nothing_known(std::string reason)
{
    Evidence evidence;
    evidence.reason = std::move(reason);
    return evidence;
}

Evidence judge_drive(const Drives& found, const DriveProbe& probe)
{
    Evidence evidence;
    const auto drive = std::find_if(found.drives.begin(), found.drives.end(),
                                    [&](const Drives::Drive& d) { return d.id == probe.drive; });
    if (drive == found.drives.end())
        return nothing_known("QEMU has no drive " + json_shown(probe.drive));
    evidence.medium = drive->file;
    if (!drive->file) {
        evidence.image = !probe.after    ? Image::after
                         : !probe.before ? Image::before
                                         : Image::neither;
        evidence.reason = "query-block: drive " + json_shown(probe.drive) + " is empty";
    } else {
        evidence.reason =
            "query-block: drive " + json_shown(probe.drive) + " holds " + found.shown(*drive->file);
        if (probe.after && found.is_medium(*drive->file, *probe.after)) {
            evidence.image = Image::after;
        } else if ((probe.before && found.is_medium(*drive->file, *probe.before)) ||
                   (probe.seen && *probe.seen == *drive->file)) {
            evidence.image = Image::before;
        } else {
            evidence.reason += ", which is not what the store knows of";
        }
    }
    if (probe.after) evidence.leftover_fdsets = found.sets.unused(*probe.after);
    evidence.half = !evidence.leftover_fdsets.empty();
    return evidence;
}

std::string list_names(const std::vector<Product>& products)
{
    std::string text;
    for (const auto& product : products) {
        if (!text.empty()) text += ", ";
        text += product.kind + " " + json_shown(product.name);
    }
    return text;
}

}  // namespace

Task<Result<std::string>> ask(Monitor& monitor, std::string command, std::string arguments,
                              Deadline until)
{
    auto reply = co_await monitor.execute(command, std::move(arguments), until);
    if (!reply) co_return std::move(reply).error();
    if (!reply->ok)
        co_return Error(Errc::protocol, "QEMU refused to answer " + command + ": " +
                                            qmp::printable(reply->error_desc));
    co_return json_minify(reply->value, "QEMU's answer to " + command, limits::qmp_line_bytes_max);
}

Task<Evidence> look(Monitor& monitor, Verb verb, Probe probe, Deadline until)
{
    if (probe.drive) {
        auto drives = co_await look_at_drives(monitor, true, until);
        if (!drives) co_return nothing_known(drives.error().message);
        co_return judge_drive(*drives, *probe.drive);
    }
    Evidence evidence;
    std::map<std::string, std::set<std::string>> names;  // a query for each kind, once
    std::vector<Product> absent;
    for (const auto& product : probe.products) {
        if (is_fdset(product)) continue;
        if (!names.contains(product.kind)) {
            auto found = co_await names_of_kind(monitor, product.kind, until);
            if (!found) co_return nothing_known(found.error().message);
            names[product.kind] = *std::move(found);
        }
        (names[product.kind].contains(product.name) ? evidence.present : absent).push_back(product);
    }
    if (evidence.present.empty() && absent.empty())
        co_return nothing_known("the plan makes nothing that QEMU could be asked for");
    if (evidence.present.empty()) {
        evidence.image = verb == Verb::remove ? Image::after : Image::before;
        evidence.reason = "QEMU has no " + list_names(absent);
    } else if (absent.empty()) {
        evidence.image = verb == Verb::remove ? Image::before : Image::after;
        evidence.reason = "QEMU has " + list_names(evidence.present);
    } else {
        evidence.half = true;
        evidence.reason =
            "QEMU has " + list_names(evidence.present) + ", but no " + list_names(absent);
    }
    if (evidence.present.empty() &&
        std::any_of(probe.products.begin(), probe.products.end(), is_fdset)) {
        const auto sets = co_await descriptor_sets(monitor, until);
        if (!sets) co_return nothing_known(sets.error().message);
        for (const auto& product : probe.products)
            if (is_fdset(product))
                for (const auto id : sets->unused(product.name))
                    evidence.leftover_fdsets.push_back(id);
        if (!evidence.leftover_fdsets.empty()) {
            evidence.half = true;
            evidence.reason += ", but an unused descriptor set of it";
        }
    }
    co_return evidence;
}

Task<Result<std::string>> take_baseline(Monitor& monitor, Deadline until)
{
    std::string text = "{";
    for (const char* kind : {"device", "anonymous", "node", "chardev", "object", "netdev"}) {
        auto names = co_await names_of_kind(monitor, kind, until);
        if (!names) co_return std::move(names).error();
        text += json_quote(kind) + ":[";
        bool first = true;
        for (const auto& name : *names) {
            if (!std::exchange(first, false)) text += ',';
            text += json_quote(name);
        }
        text += "],";
    }
    auto drives = co_await look_at_drives(monitor, false, until);
    if (!drives) co_return std::move(drives).error();
    text += "\"drive\":[";
    bool first = true;
    for (const auto& drive : drives->drives) {
        if (!std::exchange(first, false)) text += ',';
        text += "{\"id\":" + json_quote(drive.id) +
                ",\"file\":" + (drive.file ? json_quote(*drive.file) : std::string("null")) + "}";
    }
    co_return text + "]}";
}

}  // namespace xlstore
