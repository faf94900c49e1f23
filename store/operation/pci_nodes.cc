// SPDX-License-Identifier: MIT
// Each change is a loop: begin a transaction, read the list in it, let the change say which
// requests follow from what is listed, send them all, commit; another client was faster: from the
// beginning. The list is read with bounds: another process wrote its number of devices.
#include "store/operation/pci_nodes.hpp"

#include <cerrno>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

constexpr std::int32_t kListedMost = 4096;
constexpr std::size_t kCountShown = 40;

/// What is to be done with the list as it was read in this transaction; nothing: `there`.
using PciChange = std::function<std::optional<std::vector<xenstore::Request>>(
    const xenstore::PciList&, xenstore::Transaction)>;

Task<Result<void>> show(PciListWitness witness, xenstore::Transaction in, bool is_changed)
{
    if (!witness) co_return Result<void>();
    co_return co_await witness(in, is_changed);
}

Task<NodesFate> change_pci_list(xenstore::Client& client, std::int64_t domid, PciChange change,
                                Deadline until, PciListWitness witness)
{
    for (;;) {
        auto in = co_await client.begin(until);
        if (!in) co_return NodesFate(NodesFate::refused, std::move(in).error());
        auto list = co_await read_pci_list(client, domid, *in, until);
        if (!list) {
            co_await abort_quietly(client, *in, until);
            co_return NodesFate(NodesFate::refused, std::move(list).error());
        }
        auto requests = change(*list, *in);
        if (!requests) {
            co_await abort_quietly(client, *in, until);
            co_return NodesFate(NodesFate::there);
        }
        auto shown = co_await show(witness, *in, false);
        if (!shown) {
            co_await abort_quietly(client, *in, until);
            co_return NodesFate(NodesFate::refused, std::move(shown).error());
        }
        auto replies = co_await client.ask(*requests, until);
        if (!replies) co_return NodesFate(NodesFate::refused, std::move(replies).error());
        if (auto refusal = first_refusal(*requests, *replies)) {
            co_await abort_quietly(client, *in, until);
            co_return NodesFate(NodesFate::refused, *std::move(refusal));
        }
        shown = co_await show(witness, *in, true);
        if (!shown) {
            co_await abort_quietly(client, *in, until);
            co_return NodesFate(NodesFate::refused, std::move(shown).error());
        }
        auto fate = co_await commit_nodes(client, *in, until);
        if (fate) co_return *std::move(fate);
    }
}

}  // namespace

Task<Result<xenstore::PciList>> read_pci_list(xenstore::Client& client, std::int64_t domid,
                                              xenstore::Transaction in, Deadline until)
{
    xenstore::PciList list;
    const std::string path = xenstore::pci_list_path(domid);
    auto count = co_await client.read(path + "/num_devs", in, until);
    if (!count) co_return std::move(count).error();
    auto state = co_await client.read(path + "/state", in, until);
    if (!state) co_return std::move(state).error();
    list.state = state->value_or("");
    if (!*count) co_return std::move(list);
    const auto size = xenstore::number_of(**count);
    if (!size || *size < 0 || *size > kListedMost)
        co_return Error(Errc::protocol,
                        "xenstore: " + path + "/num_devs is " +
                            json_shown(plain_text(**count, kCountShown)) +
                            ", which is no number of devices",
                        "nothing was changed; see what wrote it: 'xenstore-ls " + path + "'");
    list.is_there = true;
    list.size = *size;
    const auto names = xenstore::pci_list_names(*size);
    std::vector<xenstore::Request> requests;
    for (const auto& name : names)
        requests.push_back(xenstore::request::read(path + "/" + name, in));
    auto replies = co_await client.ask(requests, until);
    if (!replies) co_return std::move(replies).error();
    if (auto refusal = first_refusal(requests, *replies)) co_return *std::move(refusal);
    for (std::size_t i = 0; i < names.size(); ++i)
        if ((*replies)[i].error == 0) list.nodes[names[i]] = std::move((*replies)[i].value);
    co_return std::move(list);
}

Task<NodesFate> list_pci_device(xenstore::Client& client, DomainRow domain, PciAddress device,
                                std::string json, Deadline until, PciListWitness witness)
{
    const PciChange change =
        [&](const xenstore::PciList& list,
            xenstore::Transaction in) -> std::optional<std::vector<xenstore::Request>> {
        if (list.index_of(device)) return std::nullopt;
        return xenstore::requests_to_list_pci(domain.domid, domain.name, device, json, list, in);
    };
    co_return co_await change_pci_list(client, domain.domid, change, until, std::move(witness));
}

Task<NodesFate> close_pci_device(xenstore::Client& client, std::int64_t domid, PciAddress device,
                                 Deadline until)
{
    const PciChange change =
        [&](const xenstore::PciList& list,
            xenstore::Transaction in) -> std::optional<std::vector<xenstore::Request>> {
        const auto index = list.index_of(device);
        if (!index) return std::nullopt;
        return xenstore::requests_to_close_pci(domid, *index, in);
    };
    co_return co_await change_pci_list(client, domid, change, until, PciListWitness());
}

Task<NodesFate> unlist_pci_device(xenstore::Client& client, std::int64_t domid, PciAddress device,
                                  Deadline until, PciListWitness witness)
{
    const PciChange change =
        [&](const xenstore::PciList& list,
            xenstore::Transaction in) -> std::optional<std::vector<xenstore::Request>> {
        const auto index = list.index_of(device);
        if (!index) return std::nullopt;
        return xenstore::requests_to_unlist_pci(domid, *index, list, in);
    };
    co_return co_await change_pci_list(client, domid, change, until, std::move(witness));
}

}  // namespace xlstore
