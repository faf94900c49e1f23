// SPDX-License-Identifier: MIT
// Adding and removing are loops of the same shape over one transaction of xenstore each:
//
//   1. begin, and send all requests of it at once; the first one of an addition reads whether the
//      nodes are there already
//   2. one that was refused: abort, and say which
//   3. commit; another client was faster (EAGAIN): from the beginning, until the deadline
//
// Only a commit that was sent and not answered leaves the fate unknown: all else is proved.
#include "store/operation/nodes_fate.hpp"

#include <cerrno>
#include <utility>

#include "store/operation/host_xenstore.hpp"
#include "store/testing/crash_point.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

using xenstore::Client;
using xenstore::DevicePaths;

Task<Result<Client>> connect_to_xenstore(Store& store, Deadline until)
{
    return Client::connect(store.loop(), xenstore::socket_path(), until);
}

std::string vm_path(const DomainRow& domain)
{
    return "/local/domain/" + std::to_string(domain.domid) + "/vm";
}

// A domid may be another domain's by now: /local/domain/7/vm, which no guest may write, says whose.
Result<void> judge_domain(const DomainRow& domain, const std::optional<std::string>& vm)
{
    const bool same =
        vm && (*vm == "/vm/" + domain.uuid || (domain.vm_uuid && *vm == "/vm/" + *domain.vm_uuid));
    if (same) return {};
    const std::string path = vm_path(domain);
    return Error(Errc::refused,
                 "xenstore has another domain of that number, or none: " +
                     (vm ? path + " names " + json_shown(*vm) : "xenstore has no " + path),
                 "nothing was changed; 'xl list -v' shows which domains Xen has");
}

Task<Result<void>> check_domain(Client& client, const DomainRow& domain, Deadline until)
{
    auto vm = co_await client.read(vm_path(domain), 0, until);
    if (!vm) co_return std::move(vm).error();
    co_return judge_domain(domain, *vm);
}

Task<void> abort_quietly(Client& client, xenstore::Transaction in, Deadline until)
{
    if (client.usable()) (void)co_await client.abort(in, until);
}

std::optional<Error> first_refusal(const std::vector<xenstore::Request>& requests,
                                   const std::vector<xenstore::Reply>& replies)
{
    for (std::size_t i = 0; i < replies.size(); ++i) {
        const bool gone = (requests[i].kind == xenstore::Kind::remove ||
                           requests[i].kind == xenstore::Kind::read) &&
                          replies[i].error == ENOENT;
        const bool made = requests[i].kind == xenstore::Kind::make && replies[i].error == EEXIST;
        if (replies[i].error == 0 || gone || made) continue;
        return xenstore::refused(std::string(kind_name(requests[i].kind)) + " " + requests[i].path,
                                 replies[i]);
    }
    return std::nullopt;
}

Task<std::optional<NodesFate>> commit_nodes(Client& client, xenstore::Transaction in,
                                            Deadline until)
{
    XLSTORE_CRASH_POINT("xenstore.before_commit");
    auto committed = co_await client.commit(in, until);
    XLSTORE_CRASH_POINT("xenstore.after_commit");
    std::optional<NodesFate> nodes;
    if (!committed)
        nodes.emplace(client.usable() ? NodesFate::refused : NodesFate::unknown,
                      std::move(committed).error());
    else if (*committed)
        nodes.emplace(NodesFate::written);
    else if (Clock::now() >= until)
        nodes.emplace(NodesFate::refused,
                      "xenstored refuses to commit: other clients kept changing the same nodes",
                      "run this again");
    co_return nodes;
}

std::vector<xenstore::Request> requests_of_addition(std::int64_t domid,
                                                    const XenstoreDevice& device,
                                                    xenstore::Transaction in)
{
    std::vector<xenstore::Request> requests;
    requests.push_back(xenstore::request::read(xenstore::device_paths(domid, device).own, in));
    for (auto& request : xenstore::requests_to_add(domid, device, in))
        requests.push_back(std::move(request));
    return requests;
}

namespace {

// Nothing: another client was faster, and the whole is to be done again.
Task<std::optional<NodesFate>> end_addition(Client& client, NodesAddition addition, Deadline until)
{
    std::optional<NodesFate> fate;
    if (!addition.replies) {
        fate.emplace(NodesFate::refused, std::move(addition.replies).error());
    } else if (addition.replies->front().error == 0) {
        co_await abort_quietly(client, addition.in, until);
        fate.emplace(NodesFate::there);
    } else if (auto refusal = first_refusal(addition.requests, *addition.replies)) {
        co_await abort_quietly(client, addition.in, until);
        fate.emplace(NodesFate::refused, *std::move(refusal));
    } else {
        fate = co_await commit_nodes(client, addition.in, until);
    }
    co_return fate;
}

}  // namespace

Task<NodesFate> add_nodes(Client& client, std::int64_t domid, const XenstoreDevice& device,
                          NodesAddition first, Deadline until)
{
    auto fate = co_await end_addition(client, std::move(first), until);
    while (!fate) {
        auto in = co_await client.begin(until);
        if (!in) co_return NodesFate(NodesFate::refused, std::move(in).error());
        NodesAddition again{*in, requests_of_addition(domid, device, *in),
                            std::vector<xenstore::Reply>()};
        again.replies = co_await client.ask(again.requests, until);
        fate = co_await end_addition(client, std::move(again), until);
    }
    co_return *std::move(fate);
}

Task<NodesFate> remove_nodes(Client& client, const DevicePaths& paths, Deadline until)
{
    for (;;) {
        auto in = co_await client.begin(until);
        if (!in) co_return NodesFate(NodesFate::refused, std::move(in).error());
        const auto requests = xenstore::requests_to_remove(paths, *in);
        auto replies = co_await client.ask(requests, until);
        if (!replies) co_return NodesFate(NodesFate::refused, std::move(replies).error());
        auto refusal = first_refusal(requests, *replies);
        auto cleared = refusal ? Result<void>(*std::move(refusal))
                               : co_await remove_empty(client, parents_of(paths), *in, until);
        if (!cleared) {
            co_await abort_quietly(client, *in, until);
            co_return NodesFate(NodesFate::refused, std::move(cleared).error());
        }
        auto nodes = co_await commit_nodes(client, *in, until);
        if (nodes) co_return *std::move(nodes);
    }
}

namespace {

Task<Result<TransactionEnd>> clear_late_back_end(Client& client, const DevicePaths& paths,
                                                 xenstore::Transaction in, Deadline until)
{
    const std::vector<xenstore::Request> looks = {
        xenstore::request::read(paths.own, in),
        xenstore::request::read(paths.back + "/frontend", in),
        xenstore::request::read(paths.back, in)};
    auto replies = co_await client.ask(looks, until);
    if (!replies) co_return std::move(replies).error();
    if (auto refusal = first_refusal(looks, *replies)) co_return *std::move(refusal);
    const bool is_device = (*replies)[0].error == 0 || (*replies)[1].error == 0;
    const bool is_there = (*replies)[2].error == 0;
    if (is_device || !is_there) co_return TransactionEnd::abort;
    auto removed = co_await client.remove(paths.back, in, until);
    if (!removed) co_return std::move(removed).error();
    auto cleared = co_await remove_empty(client, parents_of(paths), in, until);
    if (!cleared) co_return std::move(cleared).error();
    co_return TransactionEnd::commit;
}

}  // namespace

Task<Result<bool>> remove_late_back_end(Client& client, DevicePaths paths, Deadline until)
{
    paths.back = xenstore::back_end_by_driver(paths.own);
    if (paths.back.empty()) co_return false;
    const XenstoreChange change = [&paths](Client& with, xenstore::Transaction in, Deadline limit) {
        return clear_late_back_end(with, paths, in, limit);
    };
    co_return co_await in_xenstore_transaction(client, change, until);
}

Task<Result<void>> make_absence_sure(Client& client, const DevicePaths& paths, Deadline until)
{
    auto written = co_await client.write(paths.own, "", 0, until);
    if (!written) co_return written;
    // What was committed before this stands below it, and is a device.
    auto below = co_await client.directory(paths.own, 0, until);
    if (!below) co_return std::move(below).error();
    if (*below && !(*below)->empty())
        co_return Error(Errc::conflict,
                        "xenstore has " + paths.own +
                            " by now: what a client that is gone had sent came meanwhile",
                        "run this again");
    auto removed = co_await remove_nodes(client, paths, until);
    if (removed.fate != NodesFate::written)
        co_return Error(Errc::io, std::move(removed.why), std::move(removed.advice));
    auto late = co_await remove_late_back_end(client, paths, until);
    if (!late) co_return std::move(late).error();
    co_return Result<void>();
}

Task<std::optional<bool>> look_again(Store& store, const DomainRow& domain,
                                     const DevicePaths& paths, Deadline until)
{
    auto client = co_await connect_to_xenstore(store, until);
    if (!client) co_return std::nullopt;
    auto there = co_await client->read(paths.own, 0, until);
    if (!there) co_return std::nullopt;
    if (*there) co_return true;
    // xenstored may have been started anew, and the domain with it be gone.
    auto same = co_await check_domain(*client, domain, until);
    if (!same && same.error().code != Errc::refused) co_return std::nullopt;
    if (!same) co_return false;
    auto sure = co_await make_absence_sure(*client, paths, until);
    if (!sure && sure.error().code == Errc::conflict) co_return true;
    if (!sure) co_return std::nullopt;
    co_return false;
}

}  // namespace xlstore
