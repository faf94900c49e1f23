// SPDX-License-Identifier: MIT
#include "store/operation/other_primary.hpp"

#include <algorithm>

#include "store/core/domain.hpp"
#include "store/model/pci_address.hpp"
#include "store/os/host_pci.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kPciDevices = "pcidevs";
constexpr std::string_view kAssign = "assign-pci";
constexpr std::string_view kTakeBack = "deassign-pci";

const std::string& thing_of_draft(const Draft& draft)
{
    return draft.image_after ? *draft.image_after : *draft.image_before;
}

Command host_command(std::string_view execute, const PciAddress& address, const Draft& draft)
{
    return Command{
        std::string(execute),
        json_object({{"address", json_quote(address.text())}, {"thing", thing_of_draft(draft)}}),
        Executor::host};
}

// The host's device of an operation on one; nothing: it is none, or has a name alone.
std::optional<PciAddress> host_device_of(const Draft& draft)
{
    if (draft.thing.device_class != kPciDevices) return std::nullopt;
    return pci_address_of(thing_of_draft(draft));
}

Error not_done_here(const DomainRow& domain, const Draft& draft)
{
    return Error(Errc::refused,
                 domain.subject() + ": " + draft.thing.text() +
                     ": the hypervisor's part of a PCI device (permissions, assignment) is not the "
                     "store's, and this program does not do it",
                 "nothing was changed; a toolstack does it: with xlstore_set_pci_hook(), or with "
                 "its own QMP client, xlstore_intend() and xlstore_settle()");
}

Result<void> call_hook(Store& store, const DomainRow& domain, bool assign, std::string address,
                       std::string json)
{
    const PciTask task{assign, static_cast<int>(domain.domid), std::move(address), std::move(json)};
    try {
        return store.host().pci(task);
    } catch (...) {
        return caught();
    }
}

}  // namespace

Result<void> add_other_primaries(Store& store, const DomainRow& domain, Draft& draft)
{
    const auto device = host_device_of(draft);
    if (!device || draft.plan.steps.empty()) return {};
    if (!store.host().pci) return not_done_here(domain, draft);
    if (draft.verb != Verb::add) return {};
    if (auto ok = check_assignable(store.host().sysfs, device->text()); !ok) {
        Error error = std::move(ok).error();
        error.message = domain.subject() + ": " + draft.thing.text() + ": " + error.message;
        return error;
    }
    draft.plan.steps.push_back(
        Step{host_command(kAssign, *device, draft), host_command(kTakeBack, *device, draft), {}, {}});
    return {};
}

Task<Result<qmp::Reply>> carry_out_elsewhere(Store& store, DomainRow domain, Command command,
                                             Deadline /*until*/)
{
    qmp::Reply reply;
    const auto address = json_get_string(command.arguments, "address").value_or("");
    if (!store.host().pci)
        co_return Error(Errc::refused, "this program does not do the hypervisor's part");
    const std::string thing(json_find(command.arguments, "thing").value_or("{}"));
    auto done = call_hook(store, domain, command.execute == kAssign, address, thing);
    reply.ok = done.has_value();
    if (!done) reply.error_desc = done.error().message;
    co_return reply;
}

Task<Result<std::string>> follow_image(Store& store, DomainRow domain,
                                       const std::vector<Intent>& intents, Image image, Known known,
                                       Deadline /*until*/)
{
    std::string said;
    for (const auto& intent : intents) {
        const Draft& draft = intent.draft;
        const auto device = host_device_of(draft);
        if (!device) continue;
        const bool has_it = draft.verb == Verb::add ? image == Image::after : image != Image::after;
        if (has_it) {
            if (draft.verb == Verb::add && known == Known::by_looking)
                said += "; whether the hypervisor has assigned it is not known: if its guest cannot "
                        "use it, detach it and attach it again";
            continue;
        }
        // An add that failed has taken it back itself.
        if (draft.verb == Verb::add && known == Known::by_plan) continue;
        if (!store.host().pci) {
            said += "; whether the hypervisor has taken it back is not known to this program";
            continue;
        }
        auto done = call_hook(store, domain, false, device->text(), thing_of_draft(draft));
        if (!done)
            co_return Error(Errc::refused, "QEMU has no " + json_shown(device->qemu_id()) +
                                               " any more, but the hypervisor's part was not done: " +
                                               done.error().message);
    }
    co_return said;
}

}  // namespace xlstore
