// SPDX-License-Identifier: MIT
// Each list is one query (query-block, query-named-block-nodes, query-chardev, qom-list,
// query-fdsets), and network back ends come from the human monitor, because QEMU 7.2 has no query
// for them. Each answer is checked for what was asked, counted against a bound (limits.hpp), and an
// answer that fails either is an error: absence is concluded from a whole list alone.
#include "store/qmp/inventory.hpp"

#include <algorithm>
#include <array>

#include "store/base/limits.hpp"
#include "store/model/pci_address.hpp"
#include "store/text/json_text.hpp"
#include "store/text/raw_bytes.hpp"

namespace xlstore {

namespace {

using qmp::Monitor;

constexpr std::array<const char*, 6> kKinds = {"device",  "anonymous", "node",
                                               "chardev", "object",    "netdev"};
constexpr std::string_view kFdsetPath = "/dev/fdset/";

std::string answer_to(const std::string& command)
{
    return "QEMU's answer to " + command;
}

// The string `member` of each element, which has to have it, and the string `type`, if it is asked
// for.
Result<TypeByName> strings_of(std::string_view array, std::string_view member,
                              const std::string& command, std::string_view type = {})
{
    const auto elements = listed(array, command);
    if (!elements) return elements.error();
    TypeByName names;
    ListBound bound(answer_to(command));
    for (const auto element : *elements) {
        auto name = json_get_string(element, member);
        if (!name) return no_answer(command);
        auto its_type = type.empty() ? std::string() : json_get_string(element, type).value_or("");
        if (auto fits = bound.count(name->size() + its_type.size()); !fits) return fits.error();
        names.emplace(*std::move(name), std::move(its_type));
    }
    return names;
}

std::string arguments_with_path(std::string_view path)
{
    return "{\"path\":" + json_quote(path) + "}";
}

Result<QomMembers> qom_members_in(std::string_view answer)
{
    const auto elements = listed(answer, "qom-list");
    if (!elements) return elements.error();
    QomMembers members;
    ListBound bound(answer_to("qom-list"));
    for (const auto element : *elements) {
        auto type = json_get_string(element, "type");
        auto name = json_get_string(element, "name");
        if (!type || !name) return no_answer("qom-list");
        if (auto fits = bound.count(name->size() + type->size()); !fits) return fits.error();
        members.emplace(*std::move(name), *std::move(type));
    }
    return members;
}

Result<TypeByName> children_in(std::string_view answer)
{
    const auto members = qom_members_in(answer);
    if (!members) return members.error();
    TypeByName names;
    for (const auto& [name, type] : *members)
        if (auto child = child_type(type)) names.emplace(name, *std::move(child));
    return names;
}

// QMP of 7.2 has no query for network back ends; the human monitor lists them:
//   net0: index=0,type=user,…            one that nothing uses
//   nic0: index=0,type=nic,…             a device's end, which is no back end
//    \ net0: index=0,type=user,…         behind that device
//   hub 3                                 a hub, and its ports, each with what it is wired to
//    \ port0: nic1: index=0,type=nic,…
//    \ port1
Result<TypeByName> netdevs_in(std::string_view answer)
{
    if (json_type(answer) != JsonType::string) return no_answer("info network");
    const std::string text = json_decode_string(answer);
    TypeByName names;
    ListBound bound(answer_to("info network"));
    std::size_t at = 0;
    while (at < text.size()) {
        auto end = text.find_first_of("\r\n", at);
        if (end == std::string::npos) end = text.size();
        std::string_view line = std::string_view(text).substr(at, end - at);
        at = end + 1;
        if (auto fits = bound.count(line.substr(0, line.find(": index=")).size()); !fits)
            return fits.error();
        constexpr std::string_view behind = " \\ ";
        const bool indented = line.starts_with(behind);
        if (indented) line.remove_prefix(behind.size());
        const auto details = line.find(": index=");
        if (details == std::string_view::npos && !indented) continue;  // "hub 3"
        const bool device = details != std::string_view::npos &&
                            line.substr(details).find("type=nic") != std::string_view::npos;
        line = line.substr(0, details);
        if (const auto wired_to = line.find(": "); wired_to != std::string_view::npos) {
            names.emplace(line.substr(0, wired_to), "");
            line.remove_prefix(wired_to + 2);
        }
        if (!device && !line.empty()) names.emplace(line, "");
    }
    return names;
}

std::optional<std::int64_t> fdset_of(std::string_view file)
{
    if (!file.starts_with(kFdsetPath)) return std::nullopt;
    return json_integer(file.substr(kFdsetPath.size()));
}

// What libxl calls the format of an image that QEMU opens with that driver. A protocol's own driver
// reads the bytes as they are.
std::string_view libxl_format(std::string_view driver)
{
    constexpr std::array<std::string_view, 4> bare = {"file", "host_device", "host_cdrom", ""};
    if (driver == "vpc") return "vhd";
    return std::find(bare.begin(), bare.end(), driver) != bare.end() ? "raw" : driver;
}

}  // namespace

Result<void> ListBound::count(std::size_t bytes)
{
    bytes_ += bytes;
    if (++names_ <= limits::listed_names_max && bytes_ <= limits::listed_bytes_max) return {};
    return Error(Errc::protocol,
                 list_ + " names more than " + std::to_string(limits::listed_names_max) +
                     " things, or has more than " + std::to_string(limits::listed_bytes_max) +
                     " bytes of names",
                 "its answer is not used; look into this QEMU with another QMP client");
}

Result<std::vector<std::string_view>> listed(std::string_view answer, const std::string& command)
{
    if (json_type(answer) != JsonType::array) return no_answer(command);
    // One more than there may be tells that there are too many.
    auto elements = json_elements(answer, limits::listed_names_max + 1);
    if (elements.size() <= limits::listed_names_max) return elements;
    return Error(Errc::protocol,
                 answer_to(command) + " names more than " +
                     std::to_string(limits::listed_names_max) + " things",
                 "its answer is not used; look into this QEMU with another QMP client");
}

// An answer that is not what was asked for proves nothing, least of all absence.
Error no_answer(const std::string& command)
{
    return Error(Errc::protocol, "QEMU's answer to " + command + " is not what was asked for");
}

Task<Result<std::string>> query(Monitor& monitor, std::string command, std::string arguments,
                                Deadline until)
{
    auto reply = co_await monitor.execute(command, std::move(arguments), until);
    if (!reply) co_return std::move(reply).error();
    if (!reply->ok)
        co_return Error(Errc::protocol, "QEMU refused to answer " + command + ": " +
                                            qmp::printable(reply->error_desc));
    co_return std::move(reply->value);
}

Task<Result<QomMembers>> qom_members(Monitor& monitor, std::string path, Deadline until)
{
    auto answer = co_await query(monitor, "qom-list", arguments_with_path(path), until);
    if (!answer) co_return std::move(answer).error();
    co_return qom_members_in(*answer);
}

std::optional<std::string> child_type(std::string_view member_type)
{
    constexpr std::string_view before = "child<";
    if (!member_type.starts_with(before) || !member_type.ends_with('>')) return std::nullopt;
    return std::string(member_type.substr(before.size(), member_type.size() - before.size() - 1));
}

namespace {

std::set<std::string> keys_of(const TypeByName& types)
{
    std::set<std::string> names;
    for (const auto& [name, type] : types)
        names.insert(name);
    return names;
}

Task<Result<TypeByName>> list_names(Monitor& monitor, std::string kind, Deadline until)
{
    const auto question = question_of_kind(kind);
    if (!question) co_return Error(Errc::invalid, "nothing is known to ask for a " + kind);
    auto answer = co_await query(monitor, question->execute, question->arguments, until);
    if (!answer) co_return std::move(answer).error();
    if (kind == "netdev") co_return netdevs_in(*answer);
    if (kind == "chardev") co_return strings_of(*answer, "label", question->execute);
    if (kind == "node") co_return strings_of(*answer, "node-name", question->execute, "drv");
    co_return children_in(*answer);
}

}  // namespace

std::optional<qmp::Question> question_of_kind(std::string_view kind)
{
    if (kind == "device") return qmp::Question{"qom-list", arguments_with_path(kPeripherals)};
    if (kind == "anonymous") return qmp::Question{"qom-list", arguments_with_path(kAnonymousPath)};
    if (kind == "object") return qmp::Question{"qom-list", arguments_with_path(kObjects)};
    if (kind == "netdev")
        return qmp::Question{"human-monitor-command", R"({"command-line":"info network"})"};
    if (kind == "chardev") return qmp::Question{"query-chardev", {}};
    if (kind == "node") return qmp::Question{"query-named-block-nodes", R"({"flat":true})"};
    return std::nullopt;
}

Task<Result<TypeByName>> names_of_kind(Monitor& monitor, std::string kind, Deadline until)
{
    auto names = co_await list_names(monitor, kind, until);
    if (names) monitor.listing().keep(kind, keys_of(*names));
    co_return names;
}

Task<Result<bool>> has_name(Monitor& monitor, Product product, Freshness freshness, Deadline until)
{
    if (freshness == Freshness::if_new) {
        monitor.catch_up();
        const auto* names = monitor.listing().names(product.kind, product.name);
        if (names) co_return names->contains(product.name);
    }
    auto names = co_await list_names(monitor, product.kind, until);
    if (!names) co_return std::move(names).error();
    const bool has = names->contains(product.name);
    monitor.listing().keep(product.kind, keys_of(*names));
    co_return has;
}

Task<Result<DescriptorSets>> descriptor_sets(Monitor& monitor, Deadline until)
{
    DescriptorSets found;
    ListBound bound(answer_to("query-fdsets"));
    auto sets = co_await query(monitor, "query-fdsets", "", until);
    if (!sets) co_return std::move(sets).error();
    const auto elements = listed(*sets, "query-fdsets");
    if (!elements) co_return elements.error();
    for (const auto element : *elements) {
        const auto id = json_get_integer(element, "fdset-id");
        const auto fds = json_find(element, "fds");
        if (!id || !fds) co_return no_answer("query-fdsets");
        std::string opaque;
        for (const auto fd : json_elements(*fds))
            opaque = json_get_string(fd, "opaque").value_or(opaque);
        if (auto fits = bound.count(opaque.size()); !fits) co_return fits.error();
        found.opaque_of[*id] = opaque;
    }
    auto nodes = co_await query(monitor, "query-named-block-nodes", R"({"flat":true})", until);
    if (!nodes) co_return std::move(nodes).error();
    auto files = strings_of(*nodes, "file", "query-named-block-nodes");
    if (!files) co_return std::move(files).error();
    found.files_in_use = keys_of(*files);
    monitor.listing().keep(found);
    co_return found;
}

const Drives::Drive* Drives::find(std::string_view id) const
{
    const auto it =
        std::find_if(drives.begin(), drives.end(), [&](const Drive& d) { return d.id == id; });
    return it == drives.end() ? nullptr : &*it;
}

bool Drives::holds(const Drive& drive, const std::string& medium) const
{
    if (!drive.file) return false;
    if (fdset_of(*drive.file)) return medium_in(drive) == medium;
    const auto colon = std::min(medium.find(':'), medium.size());
    const auto path = medium.substr(std::min(colon + 1, medium.size()));
    return (*drive.file == path || (!is_utf8(path) && may_be_printed_as(path, *drive.file))) &&
           libxl_format(drive.format) == medium.substr(0, colon);
}

std::string Drives::medium_in(const Drive& drive) const
{
    const auto fdset = fdset_of(*drive.file);
    if (!fdset) return std::string(libxl_format(drive.format)) + ":" + *drive.file;
    const auto it = sets.opaque_of.find(*fdset);
    return it == sets.opaque_of.end() ? std::string() : it->second;
}

std::string Drives::shown(const std::string& file) const
{
    const auto fdset = fdset_of(file);
    const auto it = fdset ? sets.opaque_of.find(*fdset) : sets.opaque_of.end();
    return qmp::printable(it == sets.opaque_of.end() ? file : it->second);
}

namespace {

// With -snapshot QEMU puts a file of its own before each medium, which takes the writes and is
// removed while it is open: the medium is what lies behind it.
void see_through_snapshot(std::string_view inserted, Drives::Drive& drive)
{
    constexpr std::string_view kDescribed = "json:";
    constexpr std::string_view kTemporary = "vl.";  // and six characters
    if (drive.format != "qcow2" || !drive.file->starts_with(kDescribed)) return;
    const auto described = json_minify(drive.file->substr(kDescribed.size()), "its file");
    const auto file = described ? json_find(*described, "file") : std::nullopt;
    const auto path = file ? json_get_string(*file, "filename").value_or("") : std::string();
    const auto name = path.substr(path.rfind('/') + 1);
    if (!name.starts_with(kTemporary) || name.size() != kTemporary.size() + 6) return;
    const auto image = json_find(inserted, "image");
    const auto behind = image ? json_find(*image, "backing-image") : std::nullopt;
    const auto medium = behind ? json_get_string(*behind, "filename") : std::nullopt;
    if (!medium) return;
    drive.file = *medium;
    drive.format = json_get_string(*behind, "format").value_or("");
}

}  // namespace

Task<Result<Drives>> query_drives(Monitor& monitor, Deadline until)
{
    Drives found;
    auto blocks = co_await query(monitor, "query-block", "", until);
    if (!blocks) co_return std::move(blocks).error();
    const auto elements = listed(*blocks, "query-block");
    if (!elements) co_return elements.error();
    ListBound bound(answer_to("query-block"));
    for (const auto element : *elements) {
        if (!json_get_string(element, "device")) co_return no_answer("query-block");
        Drives::Drive drive;
        drive.id = json_get_string(element, "device").value_or("");
        if (drive.id
                .empty()) {  // made without a back end: named by its device, by path for older QEMU
            const auto qdev = json_get_string(element, "qdev").value_or("");
            const std::string peripheral = std::string(kPeripherals) + "/";
            drive.id = qdev.starts_with(peripheral) ? qdev.substr(peripheral.size()) : qdev;
        }
        drive.locked = json_find(element, "locked") == "true";
        drive.tray_open = json_find(element, "tray_open") == "true";
        const auto removable = json_find(element, "removable");
        drive.removable = !removable || *removable == "true";
        if (const auto inserted = json_find(element, "inserted")) {
            drive.file = json_get_string(*inserted, "file");
            if (!drive.file) co_return no_answer("query-block");
            drive.format = json_get_string(*inserted, "drv").value_or("");
            see_through_snapshot(*inserted, drive);
        }
        const auto bytes = drive.id.size() + drive.file.value_or("").size() + drive.format.size();
        if (auto fits = bound.count(bytes); !fits) co_return fits.error();
        found.drives.push_back(std::move(drive));
    }
    auto sets = co_await descriptor_sets(monitor, until);
    if (!sets) co_return std::move(sets).error();
    found.sets = *std::move(sets);
    co_return found;
}

bool Inventory::has(std::string_view kind, const std::string& name) const
{
    const auto it = names.find(kind);
    return it != names.end() && it->second.contains(name);
}

std::string Inventory::type_of(std::string_view kind, const std::string& name) const
{
    const auto of_kind = names.find(kind);
    if (of_kind == names.end()) return {};
    const auto it = of_kind->second.find(name);
    return it == of_kind->second.end() ? std::string() : it->second;
}

namespace {

// QEMU's word for which of the host's PCI devices each is. A device may go while QEMU is asked: no
// answer is none.
Task<Result<std::map<std::string, std::string>>> host_pci_devices(Monitor& monitor,
                                                                  TypeByName devices,
                                                                  Deadline until)
{
    std::map<std::string, std::string> found;
    for (const auto& [id, type] : devices) {
        if (type != kPciPassthrough) continue;
        const std::string arguments =
            "{\"path\":" + json_quote(std::string(kPeripherals) + "/" + id) +
            R"(,"property":"hostaddr"})";
        auto reply = co_await monitor.execute("qom-get", arguments, until);
        if (!reply) co_return std::move(reply).error();
        if (reply->ok && json_type(reply->value) == JsonType::string)
            found.emplace(id, json_decode_string(reply->value));
    }
    co_return found;
}

}  // namespace

Task<Result<Inventory>> take_inventory(Monitor& monitor, Deadline until)
{
    Inventory inventory;
    for (const char* kind : kKinds) {
        auto names = co_await names_of_kind(monitor, kind, until);
        if (!names) co_return std::move(names).error();
        inventory.names.emplace(kind, *std::move(names));
    }
    auto drives = co_await query_drives(monitor, until);
    if (!drives) co_return std::move(drives).error();
    inventory.drives = *std::move(drives);
    auto host_pci = co_await host_pci_devices(monitor, inventory.names["device"], until);
    if (!host_pci) co_return std::move(host_pci).error();
    inventory.host_pci = *std::move(host_pci);
    ListBound whole("what is in QEMU");
    for (const auto& [kind, names] : inventory.names)
        for (const auto& [name, type] : names)
            if (auto fits = whole.count(name.size()); !fits) co_return fits.error();
    for (const auto& drive : inventory.drives.drives)
        if (auto fits = whole.count(drive.id.size() + drive.file.value_or("").size()); !fits)
            co_return fits.error();
    co_return inventory;
}

}  // namespace xlstore
