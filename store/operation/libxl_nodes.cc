// SPDX-License-Identifier: MIT
// Which nodes follow from class, key and JSON alone, so that recovery compares with the same list
// that an operation writes. They are written in one transaction, and only while libxl's node of the
// domain is there: without it the domain is gone from Xen, or was never libxl's, and these nodes
// would stay for ever.
#include "store/operation/libxl_nodes.hpp"

#include <algorithm>

#include "store/classes/libxl_defaults.hpp"
#include "store/operation/host_xenstore.hpp"
#include "store/text/json_text.hpp"
#include "store/xenstore/device_nodes.hpp"

namespace xlstore {

namespace {

constexpr std::int64_t kPortsMost = 31;  // that libxl lets a controller have

std::vector<NodeChange> controller_notes(const std::string& note, std::string_view json, bool there)
{
    if (!there) return {NodeChange{note, std::nullopt}};
    const auto filled = with_libxl_defaults("usbctrls", json);
    const std::string_view whole = filled ? std::string_view(*filled) : json;
    const auto ports =
        std::clamp<std::int64_t>(json_get_integer(whole, "ports").value_or(8), 1, kPortsMost);
    std::vector<NodeChange> changes = {
        {note + "/type", "devicemodel"},
        {note + "/usb-ver", std::to_string(json_get_integer(whole, "version").value_or(2))},
        {note + "/num-ports", std::to_string(ports)}};
    for (std::int64_t port = 1; port <= ports; ++port)
        changes.push_back({note + "/port/" + std::to_string(port), ""});
    return changes;
}

Task<Result<TransactionEnd>> change_nodes(xenstore::Client& client, const std::string& domain,
                                          const std::vector<NodeChange>& changes,
                                          xenstore::Transaction in, Deadline until)
{
    auto known = co_await client.read(domain, in, until);
    if (!known) co_return std::move(known).error();
    if (!*known) co_return TransactionEnd::abort;
    for (const auto& change : changes) {
        if (!change.below.empty()) {
            auto there = co_await client.read(change.below, in, until);
            if (!there) co_return std::move(there).error();
            if (!*there) continue;
        }
        Result<void> done;
        if (change.value)
            done = co_await client.write(change.path, *change.value, in, until);
        else
            done = co_await client.remove(change.path, in, until);
        if (!done) co_return std::move(done).error();
        if (change.value) continue;
        auto cleared = co_await remove_empty(client, xenstore::parents_of(change.path), in, until);
        if (!cleared) co_return std::move(cleared).error();
    }
    co_return TransactionEnd::commit;
}

}  // namespace

std::vector<NodeChange> libxl_nodes_of(const ThingName& thing, std::string_view json,
                                       std::int64_t domid, bool there, std::string_view usb_port)
{
    const std::string domain = std::to_string(domid);
    if (thing.device_class == "vcpus")
        return {NodeChange{"/local/domain/" + domain + "/cpu/" + thing.key + "/availability",
                           there ? "online" : "offline"}};
    const std::string controllers = "/libxl/" + domain + "/device/vusb/";
    if (thing.device_class == "usbctrls" && !thing.key.starts_with('#'))
        return controller_notes(controllers + thing.key, json, there);
    const auto dot = thing.key.find('.');
    if (thing.device_class != "usbdevs" || dot == std::string::npos ||
        !json_find(json, "type.hostdev") || (there && usb_port.empty()))
        return {};
    const std::string note = controllers + thing.key.substr(0, dot);
    return {NodeChange{note + "/port/" + thing.key.substr(dot + 1),
                       there ? std::string(usb_port) : std::string(), note}};
}

Task<Result<bool>> write_libxl_nodes(Loop& loop, std::int64_t domid,
                                     std::vector<NodeChange> changes, Deadline until)
{
    until = xenstore_deadline(until);
    auto client = co_await connect_host_xenstore(loop, until);
    if (!client) co_return std::move(client).error();
    if (!*client) co_return false;
    const std::string domain = "/libxl/" + std::to_string(domid);
    const XenstoreChange change = [&](xenstore::Client& with, xenstore::Transaction in,
                                      Deadline limit) -> Task<Result<TransactionEnd>> {
        return change_nodes(with, domain, changes, in, limit);
    };
    co_return co_await in_xenstore_transaction(**client, change, until);
}

}  // namespace xlstore
