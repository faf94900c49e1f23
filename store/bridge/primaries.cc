// SPDX-License-Identifier: MIT
#include "store/bridge/primaries.hpp"

#include <algorithm>

#include "store/classes/class_plan.hpp"
#include "store/classes/xenstore_device.hpp"
#include "store/core/domain.hpp"
#include "store/core/registration_row.hpp"
#include "store/libxl/host_hold.hpp"
#include "store/model/device_class.hpp"
#include "store/operation/host_xenstore.hpp"

namespace xlstore {

namespace {

using Right = BridgeDifference::Right;

ThingRow row_of(const BridgeDifference& one, const std::string& json)
{
    ThingRow row;
    row.name = one.thing;
    row.json = json;
    return row;
}

// Of two statements the one that holds; where both do, the primary does not tell them apart.
Right right_of(bool store, bool file)
{
    if (store == file) return store ? Right::unknown : Right::neither;
    return store ? Right::store : Right::file;
}

std::string name_of(const Product& product)
{
    return product.kind + " \"" + product.name + "\"";
}

}  // namespace

Task<Primaries> Primaries::look(Store& store, DomainRow domain, Deadline until)
{
    Primaries seen;
    seen.domid_ = domain.domid;
    seen.traits_ = read_traits(store.db(), domain.id);
    auto nodes = co_await seen.ask_xenstore(store, until);
    if (nodes)
        seen.nodes_ = *std::move(nodes);
    else
        seen.nodes_unseen_ = nodes.error().message;
    auto qemu = co_await seen.ask_qemu(store, std::move(domain), until);
    if (qemu)
        seen.qemu_ = *std::move(qemu);
    else
        seen.qemu_unseen_ = qemu.error().message;
    co_return seen;
}

Task<Result<Inventory>> Primaries::ask_qemu(Store& store, DomainRow domain, Deadline until)
{
    if (!domain.registration) co_return no_qemu_of(domain, store.self().boot_id);
    libxl::FileOwner owner{domain.domid, domain.uuid};
    auto beside = co_await libxl::HostHold::take(store.loop(), domain.registration->path,
                                                 std::move(owner), until);
    if (!beside) co_return std::move(beside).error();
    beside->leave_as_found();
    auto monitor = co_await qmp::Monitor::connect(store.loop(), *domain.registration,
                                                  domain.subject(), until);
    if (!monitor) co_return std::move(monitor).error();
    co_return co_await take_inventory(*monitor, until);
}

Task<Result<xenstore::Tree>> Primaries::ask_xenstore(Store& store, Deadline until)
{
    auto client = co_await connect_host_xenstore(store.loop(), until);
    if (!client) co_return std::move(client).error();
    if (!*client) co_return Error(Errc::io, "this host has no xenstored");
    std::vector<std::string> roots;
    roots.push_back("/libxl/" + std::to_string(domid_) + "/device");
    co_return co_await xenstore::read_tree(**client, std::move(roots), until);
}

void Primaries::judge(BridgeDifference& one) const
{
    const std::string& json = one.in_store ? *one.in_store : *one.in_file;
    const auto* of = find_device_class(one.thing.device_class);
    const Primary primary = of ? thing_primary(*of, json, traits_) : Primary::none;
    const auto drive = drive_of(row_of(one, json));
    if (primary == Primary::xenstore)
        by_nodes(one);
    else if (primary != Primary::qemu)
        one.evidence = "it is in the document alone";
    else if (!qemu_)
        one.evidence = qemu_unseen_;
    else if (drive)
        by_drive(one, *drive);
    else
        by_products(one);
}

void Primaries::by_drive(BridgeDifference& one, const std::string& drive) const
{
    const auto* const there = qemu_->drives.find(drive);
    if (!there) {
        one.right = right_of(!one.in_store, !one.in_file);
        one.evidence = "QEMU has no drive \"" + drive + "\"";
        return;
    }
    const auto holds = [&](const std::optional<std::string>& json) {
        if (!json) return false;
        const auto medium = medium_of(*json);
        return medium ? there->file && qemu_->drives.holds(*there, *medium) : !there->file;
    };
    one.right = right_of(holds(one.in_store), holds(one.in_file));
    one.evidence = there->file ? "the drive holds " + qemu_->drives.medium_in(*there)
                               : "the drive is empty";
}

void Primaries::by_products(BridgeDifference& one) const
{
    const auto in_qemu = [&](const std::optional<std::string>& json) {
        const auto made = json ? products_of(row_of(one, *json)) : std::vector<Product>();
        return !made.empty() && std::ranges::all_of(made, [&](const Product& product) {
            return qemu_->has(product.kind, product.name);
        });
    };
    const auto made = products_of(row_of(one, one.in_store ? *one.in_store : *one.in_file));
    if (made.empty()) {
        one.evidence = "it has no name in QEMU";
        return;
    }
    const bool there = in_qemu(one.in_store) || in_qemu(one.in_file);
    one.right = right_of(one.in_store ? in_qemu(one.in_store) : !there,
                         one.in_file ? in_qemu(one.in_file) : !there);
    one.evidence = std::string(there ? "QEMU has " : "QEMU has no ") + name_of(made.front());
}

void Primaries::by_nodes(BridgeDifference& one) const
{
    const auto& json = one.in_store ? *one.in_store : *one.in_file;
    const auto kind = xenstore_kind(one.thing.device_class);
    const auto number = xenstore_number(one.thing.device_class, json);
    if (!nodes_ || kind.empty() || !number) {
        one.evidence = nodes_ ? "it has no nodes of its own" : nodes_unseen_;
        return;
    }
    const std::string note = "/libxl/" + std::to_string(domid_) + "/device/" + std::string(kind) +
                             "/" + std::to_string(*number);
    const bool there = nodes_->contains(note);
    one.evidence = (there ? "there is " : "there is no ") + note;
    if (!there || !one.in_store || !one.in_file) {
        one.right = right_of(one.in_store.has_value() == there, one.in_file.has_value() == there);
        return;
    }
    // Each key that libxl would write of it.
    const auto as_written = [&](const std::string& element) {
        const auto device = xenstore_device(one.thing.device_class, element, {});
        return device && std::ranges::all_of(device->back, [&](const XenstoreKey& key) {
                   return nodes_->value(note + "/" + key.name) == key.value;
               });
    };
    one.right = right_of(as_written(*one.in_store), as_written(*one.in_file));
}

}  // namespace xlstore
