// SPDX-License-Identifier: MIT
// The node is compared and changed in one transaction: between a read and a write of its own
// another toolstack could take the device. It is taken only while it is free, and freed only while
// it is this domain's. A host without xenstored has no such node, and nothing is asked.
#include "store/operation/pci_owner.hpp"

#include "store/operation/host_xenstore.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

std::string owner_node(const PciAddress& device)
{
    return "/libxl/pci/" + device.node_name() + "/domid";
}

// The node becomes `domid` where it is not there (`take`), or goes where it is that.
Task<Result<TransactionEnd>> change_owner(xenstore::Client& client, const std::string& node,
                                          const std::string& domid, bool take,
                                          xenstore::Transaction in, Deadline until)
{
    auto owner = co_await client.read(node, in, until);
    if (!owner) co_return std::move(owner).error();
    const bool ours = *owner == domid;
    if (take && *owner && !ours)
        co_return Error(Errc::refused, "xenstore: " + node + ": domain " + json_shown(**owner) +
                                           " has the device",
                        "detach it there first: 'xl pci-list' shows what a domain has");
    if (take == ours) co_return TransactionEnd::abort;
    Result<void> changed;
    if (take)
        changed = co_await client.write(node, domid, in, until);
    else
        changed = co_await client.remove(node, in, until);
    if (!changed) co_return std::move(changed).error();
    co_return TransactionEnd::commit;
}

Task<Result<void>> change_owner_of(Loop& loop, const PciAddress& device, std::int64_t domid,
                                   bool take, Deadline until)
{
    until = xenstore_deadline(until);
    auto client = co_await connect_host_xenstore(loop, until);
    if (!client) co_return std::move(client).error();
    if (!*client) co_return Result<void>();
    const std::string node = owner_node(device);
    const std::string number = std::to_string(domid);
    const XenstoreChange change = [&](xenstore::Client& with, xenstore::Transaction in,
                                      Deadline limit) -> Task<Result<TransactionEnd>> {
        return change_owner(with, node, number, take, in, limit);
    };
    auto changed = co_await in_xenstore_transaction(**client, change, until);
    if (!changed) co_return std::move(changed).error();
    co_return Result<void>();
}

}  // namespace

Task<Result<std::optional<std::string>>> pci_owner(Loop& loop, PciAddress device, Deadline until)
{
    std::optional<std::string> none;
    until = xenstore_deadline(until);
    auto client = co_await connect_host_xenstore(loop, until);
    if (!client) co_return std::move(client).error();
    if (!*client) co_return none;
    co_return co_await (*client)->read(owner_node(device), 0, until);
}

Task<Result<void>> take_pci_device(Loop& loop, PciAddress device, std::int64_t domid,
                                   Deadline until)
{
    co_return co_await change_owner_of(loop, device, domid, true, until);
}

Task<Result<void>> free_pci_device(Loop& loop, PciAddress device, std::int64_t domid,
                                   Deadline until)
{
    co_return co_await change_owner_of(loop, device, domid, false, until);
}

Task<Result<std::optional<PciAddress>>> find_pci_device_named(Loop& loop, std::string name,
                                                              Deadline until)
{
    const std::string root = "/libxl/pci";
    std::optional<PciAddress> found;
    until = xenstore_deadline(until);
    auto client = co_await connect_host_xenstore(loop, until);
    if (!client) co_return std::move(client).error();
    if (!*client) co_return found;
    auto devices = co_await (*client)->directory(root, 0, until);
    if (!devices) co_return std::move(devices).error();
    if (!*devices) co_return found;
    for (const auto& device : **devices) {
        const auto address = pci_address_from_node(device);
        if (!address) continue;
        auto its_name = co_await (*client)->read(root + "/" + device + "/name", 0, until);
        if (!its_name) co_return std::move(its_name).error();
        if (*its_name != name) continue;
        if (found)
            co_return Error(Errc::refused, "xenstore: both " + found->text() + " and " +
                                               address->text() + " have the name " +
                                               json_shown(name),
                            "nothing was changed; give the address");
        found = *address;
    }
    co_return found;
}

}  // namespace xlstore
