// SPDX-License-Identifier: MIT
// From the unmanaged devices of a QEMU to entries:
//
//   1. block_graph: which node depends on which, from the one query that says so.
//   2. Each device is asked for the properties that name a back end or a link (see_device).
//   3. Grouping gives a back end to the device that names it, a node to the top that depends on it;
//      what has a known owner is omitted.
//   4. A USB or PCI device, a USB controller, or a processor, becomes an entry of its class
//      (class_rebuild.hpp); anything else one of class `qemu` with its products, so that one detach
//      takes out all of it.
#include "store/qmp/proposal.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

#include "store/classes/class_rebuild.hpp"
#include "store/model/pci_address.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

using qmp::Monitor;

// They are grouped by comparing each with each: how long that takes is not QEMU's to say (R20).
constexpr std::size_t kUnmanagedMost = 2'000;

// Which block node depends on which. The query is marked as one for debugging, and there is
// no other that says it; a QEMU without it gets an entry for each node.
struct BlockGraph {
    std::map<std::int64_t, std::string> node;          // block nodes by number
    std::map<std::int64_t, std::string> backend;       // what a guest's device sees, by number
    std::multimap<std::string, std::int64_t> numbers;  // of a node's name
    std::multimap<std::int64_t, std::int64_t> parents;

    [[nodiscard]] std::set<std::int64_t> above(const std::string& name) const
    {
        std::set<std::int64_t> found;
        std::vector<std::int64_t> next;
        const auto [first, last] = numbers.equal_range(name);
        for (auto it = first; it != last; ++it)
            next.push_back(it->second);
        while (!next.empty()) {
            const auto [from, to] = parents.equal_range(next.back());
            next.pop_back();
            for (auto it = from; it != to; ++it)
                if (found.insert(it->second).second) next.push_back(it->second);
        }
        return found;
    }
};

Task<Result<BlockGraph>> block_graph(Monitor& monitor, Deadline until)
{
    BlockGraph graph;
    auto reply = co_await monitor.execute("x-debug-query-block-graph", "", until);
    if (!reply) co_return std::move(reply).error();
    if (!reply->ok) co_return graph;
    const std::string command = "x-debug-query-block-graph";
    const auto nodes = listed(json_find(reply->value, "nodes").value_or("[]"), command);
    if (!nodes) co_return nodes.error();
    ListBound bound("the block graph");
    for (const auto element : *nodes) {
        const auto number = json_get_integer(element, "id");
        const auto name = json_get_string(element, "name");
        const auto type = json_get_string(element, "type");
        if (!number || !name || !type) co_return no_answer(command);
        if (auto fits = bound.count(name->size()); !fits) co_return fits.error();
        if (*type == "block-driver" && graph.node.emplace(*number, *name).second)
            graph.numbers.emplace(*name, *number);
        if (*type == "block-backend") graph.backend[*number] = *name;
    }
    const auto edges = listed(json_find(reply->value, "edges").value_or("[]"), command);
    if (!edges) co_return edges.error();
    for (const auto element : *edges) {
        const auto parent = json_get_integer(element, "parent");
        const auto child = json_get_integer(element, "child");
        if (!parent || !child) co_return no_answer(command);
        graph.parents.emplace(*child, *parent);
    }
    co_return graph;
}

std::string path_of(const Product& device)
{
    return std::string(device.kind == kAnonymousKind ? kAnonymousPath : kPeripherals) + "/" +
           device.name;
}

// Properties that say what a device is made of, or where it is plugged in; and all its links.
bool is_telling(const std::string& driver, const std::string& name, const std::string& type)
{
    // Of many devices `addr` is something else.
    if (driver == kPciPassthrough && (name == "addr" || name == "permissive")) return true;
    constexpr std::array<std::string_view, 7> names = {"chardev", "netdev",  "port",    "p2",
                                                       "p3",      "hostbus", "hostaddr"};
    return type.starts_with("link<") || std::find(names.begin(), names.end(), name) != names.end();
}

Task<Result<SeenDevice>> see_device(Monitor& monitor, Product device, std::string driver,
                                    Deadline until)
{
    SeenDevice seen{device.name, std::move(driver), {}};
    const std::string path = path_of(device);
    auto members = co_await qom_members(monitor, path, until);
    if (!members) co_return std::move(members).error();
    ListBound bound("what device " + json_shown(device.name) + " is made of");
    for (const auto& [name, type] : *members) {
        if (!is_telling(seen.driver, name, type)) continue;
        const std::string what =
            "{\"path\":" + json_quote(path) + ",\"property\":" + json_quote(name) + "}";
        auto reply = co_await monitor.execute("qom-get", what, until);
        if (!reply) co_return std::move(reply).error();
        if (!reply->ok) continue;  // one that can only be set
        if (auto fits = bound.count(reply->value.size()); !fits) co_return fits.error();
        seen.properties[name] = std::move(reply->value);
    }
    co_return seen;
}

using Group = std::vector<Product>;

bool is(const Product& product, std::string_view kind, std::string_view name)
{
    return product.kind == kind && product.name == name;
}

// What `device` names as its own among the unmanaged devices.
bool depends_on(const SeenDevice& device, const Product& product)
{
    return std::any_of(device.properties.begin(), device.properties.end(), [&](const auto& member) {
        const auto& [name, value] = member;
        if (json_type(value) != JsonType::string) return false;
        const std::string text = json_decode_string(value);
        return (product.kind == "object" && text == std::string(kObjects) + "/" + product.name) ||
               (product.kind == name && text == product.name);
    });
}

class Grouping {
public:
    explicit Grouping(std::vector<Product> unmanaged) : left_(std::move(unmanaged)) {}

    // Takes those that `belongs` from what is left.
    template <class Belongs>
    Group take(Belongs belongs)
    {
        Group taken;
        for (const auto& product : left_)
            if (belongs(product)) taken.push_back(product);
        std::erase_if(left_, belongs);
        return taken;
    }
    [[nodiscard]] bool has(std::string_view kind, std::string_view name) const
    {
        return std::any_of(left_.begin(), left_.end(),
                           [&](const Product& p) { return is(p, kind, name); });
    }
    [[nodiscard]] const std::vector<Product>& left() const noexcept { return left_; }

private:
    std::vector<Product> left_;
};

// The device that a back end belongs to: "/machine/peripheral/ID/…"; nothing: a drive, by its name.
std::optional<Product> device_behind(const std::string& backend)
{
    for (const auto& [kind, place] : {std::pair{std::string("device"), kPeripherals},
                                      {std::string(kAnonymousKind), kAnonymousPath}}) {
        const std::string prefix = std::string(place) + "/";
        if (!backend.starts_with(prefix)) continue;
        const auto name = backend.substr(prefix.size());
        return Product{kind, name.substr(0, name.find('/')), std::nullopt};
    }
    return std::nullopt;
}

// Block nodes with a known owner; and whose the others are.
struct NodeOwners {
    std::set<std::string> of_known_owner;
    std::map<std::string, std::string> path_of_device;  // by node
    std::map<std::string, std::string> top;             // by node: the one on which none depends
    std::map<std::string, std::size_t> depth;           // how many depend on it
};

NodeOwners owners_of(const BlockGraph& graph, const Grouping& unmanaged)
{
    NodeOwners owners;
    std::map<std::string, std::size_t> heights;
    const auto height_of = [&](const std::string& name) {
        const auto [it, is_new] = heights.try_emplace(name);
        if (is_new) it->second = graph.above(name).size();
        return it->second;
    };
    for (const auto& product : unmanaged.left()) {
        if (product.kind != "node") continue;
        const auto above = graph.above(product.name);
        owners.depth[product.name] = above.size();
        owners.top[product.name] = product.name;
        std::size_t least = above.size();
        for (const auto number : above) {
            if (const auto it = graph.node.find(number); it != graph.node.end()) {
                if (!unmanaged.has("node", it->second)) {
                    owners.of_known_owner.insert(product.name);
                } else if (const auto height = height_of(it->second); height < least) {
                    least = height;
                    owners.top[product.name] = it->second;
                }
            } else if (const auto at = graph.backend.find(number); at != graph.backend.end()) {
                const auto device = device_behind(at->second);
                if (device && unmanaged.has(device->kind, device->name))
                    owners.path_of_device[product.name] = path_of(*device);
                else
                    owners.of_known_owner.insert(product.name);
            }
        }
    }
    return owners;
}

std::string described(const Group& group, const std::string& driver)
{
    std::string text;
    for (auto it = group.rbegin(); it != group.rend(); ++it) {
        text += (text.empty() ? "" : ", ") + it->kind + " " + json_shown(it->name);
        if (is_device(*it)) text += " (" + qmp::printable(driver) + ")";
    }
    return text;
}

// An entry of class `qemu`: what is there, and nothing of how it came there.
Proposal plain_proposal(const Group& group, const std::function<bool(const ThingName&)>& is_taken)
{
    const Product& main = group.back();
    ThingName name{"qemu", main.name};
    if (main.kind == kAnonymousKind || is_taken(name)) name.key = main.kind + ":" + main.name;
    for (int n = 2; is_taken(name); ++n)
        name.key = main.kind + ":" + main.name + ":" + std::to_string(n);
    return Proposal{name, found_entry(name.key, group), group, {}};
}

using IsTaken = std::function<bool(const ThingName&)>;

// A machine without hotplug of processors refuses to say; then none of the devices is one.
Task<Result<std::vector<VcpuSlot>>> ask_vcpu_slots(Monitor& monitor, Deadline until)
{
    std::vector<VcpuSlot> slots;
    auto reply = co_await monitor.execute("query-hotpluggable-cpus", "", until);
    if (!reply) co_return std::move(reply).error();
    if (!reply->ok) co_return slots;
    if (auto few = listed(reply->value, "query-hotpluggable-cpus"); !few) co_return few.error();
    slots = vcpu_slots(reply->value);
    co_return slots;
}

// What is left of block nodes that have one top, or one product of another kind.
Group take_one_group(Grouping& grouping, const NodeOwners& nodes)
{
    const Product first = grouping.left().front();
    if (first.kind != "node")
        return grouping.take([&](const Product& p) { return is(p, first.kind, first.name); });
    const std::string top = nodes.top.at(first.name);
    Group group = grouping.take(
        [&](const Product& p) { return p.kind == "node" && nodes.top.at(p.name) == top; });
    std::stable_sort(group.begin(), group.end(), [&](const Product& a, const Product& b) {
        return nodes.depth.at(a.name) > nodes.depth.at(b.name);
    });
    return group;
}

// A device with what it depends on, which goes out of `grouping`.
Task<Result<Proposal>> propose_device(Monitor& monitor, const Product& device,
                                      const std::string& driver, Grouping& grouping,
                                      const NodeOwners& nodes, const std::vector<VcpuSlot>& slots,
                                      const IsTaken& is_taken, Deadline until)
{
    auto seen = co_await see_device(monitor, device, driver, until);
    if (!seen) co_return std::move(seen).error();
    Group group = grouping.take([&](const Product& p) {
        const auto at = nodes.path_of_device.find(p.name);
        return depends_on(*seen, p) || (p.kind == "node" && at != nodes.path_of_device.end() &&
                                        at->second == path_of(device));
    });
    std::stable_sort(group.begin(), group.end(), [&](const Product& a, const Product& b) {
        const auto depth = [&](const Product& p) {
            return p.kind == "node" ? nodes.depth.at(p.name) : 0;
        };
        return depth(a) > depth(b);
    });
    group.push_back(device);
    const auto rebuilt =
        group.size() == 1 && device.kind == "device" ? rebuild_device(*seen, slots) : std::nullopt;
    Proposal proposal = plain_proposal(group, is_taken);
    if (rebuilt && !is_taken(rebuilt->name)) {
        proposal.name = rebuilt->name;
        proposal.json = rebuilt->json;
    }
    proposal.seen = described(group, driver);
    co_return proposal;
}

}  // namespace

Task<Result<std::vector<Proposal>>> propose(Monitor& monitor, const Inventory& there,
                                            std::vector<Product> unmanaged,
                                            std::function<bool(const ThingName&)> is_taken,
                                            Deadline until)
{
    std::vector<Proposal> proposals;
    if (unmanaged.empty()) co_return proposals;
    if (unmanaged.size() > kUnmanagedMost)
        co_return Error(Errc::protocol,
                        "QEMU has " + std::to_string(unmanaged.size()) +
                            " things that no entry knows, and no more than " +
                            std::to_string(kUnmanagedMost) + " are looked into",
                        "look into this QEMU with another QMP client");
    Grouping grouping(std::move(unmanaged));
    const auto has_kind = [&](std::string_view kind) {
        return std::any_of(grouping.left().begin(), grouping.left().end(),
                           [&](const Product& p) { return p.kind == kind; });
    };
    BlockGraph graph;
    if (has_kind("node")) {
        auto asked = co_await block_graph(monitor, until);
        if (!asked) co_return std::move(asked).error();
        graph = *std::move(asked);
    }
    const NodeOwners nodes = owners_of(graph, grouping);
    (void)grouping.take([&](const Product& p) {
        return p.kind == "node" && nodes.of_known_owner.contains(p.name);
    });

    std::vector<VcpuSlot> slots;
    if (has_kind("device")) {
        auto asked = co_await ask_vcpu_slots(monitor, until);
        if (!asked) co_return std::move(asked).error();
        slots = *std::move(asked);
    }
    const Group devices = grouping.take(is_device);
    for (const auto& device : devices) {
        const std::string driver = there.type_of(device.kind, device.name);
        auto proposal = co_await propose_device(monitor, device, driver, grouping, nodes, slots,
                                                is_taken, until);
        if (!proposal) co_return std::move(proposal).error();
        proposals.push_back(*std::move(proposal));
    }
    while (!grouping.left().empty()) {
        const Group group = take_one_group(grouping, nodes);
        Proposal proposal = plain_proposal(group, is_taken);
        proposal.seen = described(group, {});
        proposals.push_back(std::move(proposal));
    }
    co_return proposals;
}

}  // namespace xlstore
