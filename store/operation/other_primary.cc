// SPDX-License-Identifier: MIT
// Three kinds of things have a part that is not QEMU's:
//
//   a PCI device    its node of ownership in xenstore comes before QEMU, its assignment after it,
//                   both as steps of the plan (undone if a later one fails); follow_image() takes
//                   both back once QEMU has let go of the device, and keeps libxl's list
//   a CD drive      a step behind QEMU's eject empties its nodes in xenstore; follow_image()
//                   writes into them what the image is
//   a USB controller, a USB device, a vcpu   follow_image() alone writes libxl's nodes of them
//
// follow_image() is called before each commit that closes an intent, by the operation and by
// recovery; it looks before it writes, and done twice it is done once.
#include "store/operation/other_primary.hpp"

#include <algorithm>

#include "store/classes/class_plan.hpp"
#include "store/classes/libxl_defaults.hpp"
#include "store/core/domain.hpp"
#include "store/model/pci_address.hpp"
#include "store/operation/cd_nodes.hpp"
#include "store/operation/host_usb_port.hpp"
#include "store/operation/host_xenstore.hpp"
#include "store/operation/libxl_nodes.hpp"
#include "store/operation/pci_nodes.hpp"
#include "store/operation/pci_owner.hpp"
#include "store/os/host_pci.hpp"
#include "store/os/host_usb.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kPciDevices = "pcidevs";
constexpr std::string_view kAssign = "assign-pci";
constexpr std::string_view kTakeBack = "deassign-pci";
constexpr std::string_view kWriteParams = "write-params";
constexpr std::string_view kOwn = "own-pci";
constexpr std::string_view kDisown = "disown-pci";

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

Command owner_command(std::string_view execute, const PciAddress& address)
{
    return Command{std::string(execute), json_object({{"address", json_quote(address.text())}}),
                   Executor::xenstore};
}

// The host's device of an operation on one; nothing: it is none, or has a name alone.
std::optional<PciAddress> host_device_of(const Draft& draft)
{
    if (draft.thing.device_class != kPciDevices) return std::nullopt;
    return pci_address_of(thing_of_draft(draft));
}

// A CD drive is emptied in xenstore once QEMU has ejected, as libxl does, before another medium
// comes. What the nodes say in the end follows the image (follow_image).
Task<Result<void>> add_emptying(Loop& loop, const DomainRow& domain, Draft& draft, Deadline until)
{
    const std::string drive = draft.plan.probe.drive->drive;
    auto nodes = co_await find_cd_nodes(loop, domain.domid, drive, until);
    if (!nodes) {
        Error error = std::move(nodes).error();
        error.message = domain.subject() + ": " + draft.thing.text() + ": " + error.message;
        co_return error;
    }
    auto& steps = draft.plan.steps;
    const auto eject = std::find_if(steps.begin(), steps.end(), [](const Step& step) -> bool {
        return opens_tray(step.command);
    });
    if (!*nodes || eject == steps.end()) co_return Result<void>();
    Command empty{std::string(kWriteParams),
                  json_object({{"drive", json_quote(drive)}, {"params", "\"\""}}),
                  Executor::xenstore};
    steps.insert(eject + 1, Step{std::move(empty), std::nullopt, {}, {}});
    co_return Result<void>();
}

// What xenstore is to say of the drive once its image is known; nothing: it stays as it is.
std::optional<std::string> params_wanted(const CdNodes& nodes, const Draft& draft, Image image)
{
    switch (image) {
    case Image::after:
        return cd_params(nodes.kind, draft.image_after.value_or("{}"));
    case Image::neither:
        return std::string();
    case Image::before:
        break;
    }
    // Only what the plan emptied is filled again.
    auto before = cd_params(nodes.kind, draft.image_before.value_or("{}"));
    if (before.empty() || !(nodes.params.empty() || nodes.libxl_params.empty()))
        return std::nullopt;
    return before;
}

// Value: what is to be said of it. Error: it is not done.
Task<Result<std::string>> follow_medium_in_xenstore(Loop& loop, const DomainRow& domain,
                                                    const Draft& draft, Image image, Deadline until)
{
    const auto& probe = draft.plan.probe.drive;
    if (draft.verb != Verb::change || !probe) co_return std::string();
    auto nodes = co_await find_cd_nodes(loop, domain.domid, probe->drive, until);
    if (!nodes)
        co_return Error(nodes.error().code,
                        "what xenstore says of the drive could not be brought to that: " +
                            nodes.error().message);
    if (!*nodes) co_return std::string();
    const auto wanted = params_wanted(**nodes, draft, image);
    if (!wanted || says(**nodes, *wanted)) co_return std::string();
    auto written = co_await write_cd_params(loop, **nodes, *wanted, until);
    if (!written)
        co_return Error(written.error().code,
                        "what xenstore says of the drive could not be brought to that: " +
                            written.error().message);
    co_return std::string(*written ? "; xenstore says the same now"
                                   : "; xenstore has the drive no longer");
}

}  // namespace

Error pci_hook_absent(const DomainRow& domain, const ThingName& thing)
{
    return Error(Errc::refused,
                 domain.subject() + ": " + thing.text() +
                     ": the hypervisor's part of a PCI device (permissions, assignment) is not the "
                     "store's, and this program does not do it",
                 "nothing was changed; a toolstack does it: with xlstore_set_pci_hook(), or with "
                 "its own QMP client, xlstore_intend() and xlstore_settle()");
}

Result<void> call_pci_hook(Store& store, const DomainRow& domain, bool assign, std::string address,
                           std::string json)
{
    const PciTask task{assign, static_cast<int>(domain.domid), std::move(address), std::move(json)};
    try {
        return store.host().pci(task);
    } catch (...) {
        return caught();
    }
}

Task<Result<void>> add_other_primaries(Store& store, DomainRow domain, Draft& draft, Deadline until)
{
    if (draft.verb == Verb::change && draft.plan.probe.drive)
        co_return co_await add_emptying(store.loop(), domain, draft, until);
    const auto device = host_device_of(draft);
    if (!device || draft.verb != Verb::add || !store.host().pci) co_return Result<void>();
    Step assign{
        host_command(kAssign, *device, draft), host_command(kTakeBack, *device, draft), {}, {}};
    draft.plan.steps.push_back(std::move(assign));
    if (!has_host_xenstore()) co_return Result<void>();
    auto owner = co_await pci_owner(store.loop(), *device, until);
    if (!owner) co_return std::move(owner).error();
    if (*owner && **owner != std::to_string(domain.domid))
        co_return Error(Errc::refused,
                        domain.subject() + ": " + draft.thing.text() + ": domain " +
                            json_shown(**owner) + " has the device, as xenstore says",
                        "nothing was changed; detach it there first");
    Step own{owner_command(kOwn, *device), owner_command(kDisown, *device), {}, {}};
    draft.plan.steps.insert(draft.plan.steps.begin(), std::move(own));
    co_return Result<void>();
}

Result<void> check_other_primaries(Store& store, const DomainRow& domain, const Draft& draft)
{
    const auto device = host_device_of(draft);
    if (!device || draft.plan.steps.empty()) return {};
    if (!store.host().pci) return pci_hook_absent(domain, draft.thing);
    if (draft.verb != Verb::add) return {};
    auto ok = check_assignable(store.host().sysfs, device->text());
    if (ok) return {};
    Error error = std::move(ok).error();
    error.message = domain.subject() + ": " + draft.thing.text() + ": " + error.message;
    return error;
}

namespace {

// xenstored's answer to a step, as QEMU would give one.
Task<Result<qmp::Reply>> write_params(Loop& loop, const DomainRow& domain, const Command& command,
                                      Deadline until)
{
    const auto drive = json_get_string(command.arguments, "drive").value_or("");
    auto nodes = co_await find_cd_nodes(loop, domain.domid, drive, until);
    if (!nodes) co_return std::move(nodes).error();
    qmp::Reply reply;
    reply.ok = true;
    reply.value = "{}";
    if (!*nodes) co_return reply;  // it was taken away meanwhile
    auto params = json_get_string(command.arguments, "params").value_or("");
    auto written = co_await write_cd_params(loop, **nodes, std::move(params), until);
    if (!written) co_return std::move(written).error();
    co_return reply;
}

Task<Result<qmp::Reply>> change_pci_owner(Loop& loop, const DomainRow& domain,
                                          const Command& command, Deadline until)
{
    const auto device =
        pci_address_from(json_get_string(command.arguments, "address").value_or(""));
    if (!device) co_return Error(Errc::invalid, command.execute + " names no PCI device");
    Result<void> changed;
    if (command.execute == kOwn)
        changed = co_await take_pci_device(loop, *device, domain.domid, until);
    else
        changed = co_await free_pci_device(loop, *device, domain.domid, until);
    if (!changed && changed.error().code != Errc::refused) co_return std::move(changed).error();
    qmp::Reply reply;
    reply.ok = changed.has_value();
    reply.value = "{}";
    if (!changed) reply.error_desc = changed.error().message;
    co_return reply;
}

}  // namespace

Task<Result<qmp::Reply>> carry_out_elsewhere(Store& store, DomainRow domain, Command command,
                                             Deadline until)
{
    if (command.by == Executor::xenstore && command.execute == kWriteParams)
        co_return co_await write_params(store.loop(), domain, command, until);
    if (command.by == Executor::xenstore)
        co_return co_await change_pci_owner(store.loop(), domain, command, until);
    qmp::Reply reply;
    const auto address = json_get_string(command.arguments, "address").value_or("");
    if (!store.host().pci)
        co_return Error(Errc::refused, "this program does not do the hypervisor's part");
    const std::string thing(json_find(command.arguments, "thing").value_or("{}"));
    auto done = call_pci_hook(store, domain, command.execute == kAssign, address, thing);
    reply.ok = done.has_value();
    if (!done) reply.error_desc = done.error().message;
    co_return reply;
}

namespace {

// The hypervisor's part of an operation on a PCI device. Value and error as of follow_image().
Result<std::string> follow_in_hypervisor(Store& store, const DomainRow& domain, const Draft& draft,
                                         Image image, Known known)
{
    const auto device = host_device_of(draft);
    if (!device) return std::string();
    const bool has_it = draft.verb == Verb::add ? image == Image::after : image != Image::after;
    if (has_it)
        return draft.verb == Verb::add && known == Known::by_looking
                   ? "; whether the hypervisor has assigned it is not known: if its guest cannot "
                     "use it, detach it and attach it again"
                   : std::string();
    // An add that failed has taken it back itself.
    if (draft.verb == Verb::add && known == Known::by_plan) return std::string();
    if (!store.host().pci)
        return std::string(
            "; whether the hypervisor has taken it back is not known to this "
            "program: where libxl lists it still, 'xl pci-detach -f' ends that");
    const auto done = call_pci_hook(store, domain, false, device->text(), thing_of_draft(draft));
    if (done) return std::string();
    return Error(Errc::refused, "QEMU has no " + json_shown(device->qemu_id()) +
                                    " any more, but the hypervisor's part was not done: " +
                                    done.error().message);
}

// The device is free once the hypervisor has taken it back, or has never had it: an add that QEMU
// shows nothing of did not come to that.
Task<Result<void>> follow_in_owner_node(Store& store, const DomainRow& domain, const Draft& draft,
                                        Image image, Known known, Deadline until)
{
    const auto device = host_device_of(draft);
    const bool is_free = draft.verb == Verb::add
                             ? image != Image::after && known == Known::by_looking
                             : image == Image::after && store.host().pci;
    if (!device || !is_free) co_return Result<void>();
    auto freed = co_await free_pci_device(store.loop(), *device, domain.domid, until);
    if (freed) co_return freed;
    co_return Error(freed.error().code, "QEMU has no " + json_shown(device->qemu_id()) +
                                            ", but it is not free yet: " + freed.error().message);
}

// The host's name of the USB device that a draft is about; "": it is about none, or it is not
// known.
std::string usb_port_of_draft(Store& store, const Draft& draft)
{
    const auto& json = thing_of_draft(draft);
    if (const auto named = usb_port_named_by(draft.thing.device_class, json)) return *named;
    const auto host = json_find(json, "type.hostdev");
    if (draft.thing.device_class != "usbdevs" || !host) return {};
    const HostUsb device{json_get_integer(*host, "hostbus").value_or(0),
                         json_get_integer(*host, "hostaddr").value_or(0)};
    return find_usb_port(store.host().sysfs, device).value_or("");
}

// What libxl reads of it in xenstore. That it could not be written is said, and no more: nothing of
// the guest's depends on it, and xlfsck writes it (5029).
Task<std::string> follow_in_libxl_nodes(Store& store, const DomainRow& domain, const Draft& draft,
                                        Image image, Deadline until)
{
    if (draft.verb == Verb::change || image != Image::after || !has_host_xenstore())
        co_return std::string();
    const bool there = draft.verb == Verb::add;
    const auto port = there ? usb_port_of_draft(store, draft) : std::string();
    auto nodes = libxl_nodes_of(draft.thing, thing_of_draft(draft), domain.domid, there, port);
    if (nodes.empty()) co_return std::string();
    auto written = co_await write_libxl_nodes(store.loop(), domain.domid, std::move(nodes), until);
    if (written) co_return std::string();
    co_return "; libxl's nodes of it could not be written: " + written.error().message;
}

// libxl's list of what was passed through, which 'xl pci-list' and 'xl pci-detach' read. As with
// the nodes, a failure is said, and xlfsck writes it (5029). A device that was detached leaves it
// together with the hypervisor's part alone: libxl finds by it what it has to take back.
Task<std::string> follow_in_list(Store& store, const DomainRow& domain, const Intent& intent,
                                 Image image, Deadline until)
{
    const Draft& draft = intent.draft;
    const auto device = host_device_of(draft);
    const bool is_settled = draft.verb == Verb::add || (image == Image::after && store.host().pci);
    if (!device || !is_settled || !has_host_xenstore()) co_return std::string();
    const bool there = draft.verb == Verb::add && image == Image::after;
    until = xenstore_deadline(until);
    auto client = co_await connect_host_xenstore(store.loop(), until);
    if (!client) co_return "; libxl's list could not be written: " + client.error().message;
    if (!*client) co_return std::string();
    std::string json =
        with_place_of(draft.thing.device_class, thing_of_draft(draft), intent.address);
    NodesFate fate(NodesFate::there);
    if (there) {
        fate = co_await list_pci_device(**client, domain, *device, std::move(json), until);
    } else {
        fate = co_await close_pci_device(**client, domain.domid, *device, until);
        if (fate.fate == NodesFate::written)
            fate = co_await unlist_pci_device(**client, domain.domid, *device, until);
    }
    if (fate.fate == NodesFate::written || fate.fate == NodesFate::there) co_return std::string();
    co_return "; libxl's list could not be written: " + fate.why;
}

}  // namespace

Task<Result<std::string>> follow_image(Store& store, DomainRow domain,
                                       const std::vector<Intent>& intents, Image image, Known known,
                                       Deadline until)
{
    std::string said;
    for (const auto& intent : intents) {
        auto host = follow_in_hypervisor(store, domain, intent.draft, image, known);
        if (!host) co_return std::move(host).error();
        said += *host;
        said += co_await follow_in_list(store, domain, intent, image, until);
        auto freed =
            co_await follow_in_owner_node(store, domain, intent.draft, image, known, until);
        if (!freed) co_return std::move(freed).error();
        said += co_await follow_in_libxl_nodes(store, domain, intent.draft, image, until);
        auto medium =
            co_await follow_medium_in_xenstore(store.loop(), domain, intent.draft, image, until);
        if (!medium) co_return std::move(medium).error();
        said += *medium;
    }
    co_return said;
}

}  // namespace xlstore
