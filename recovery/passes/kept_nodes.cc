// SPDX-License-Identifier: MIT
#include "recovery/passes/kept_nodes.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "store/operation/host_xenstore.hpp"
#include "store/operation/nodes_fate.hpp"
#include "store/xenstore/device_nodes.hpp"

namespace xlstore::recovery {

using xenstore::Transaction;
using xenstore::Tree;

// The roots, what is below them, and the nodes above them without what else is below those.
Task<Result<Tree>> KeptNodes::read(Transaction in, Deadline until)
{
    std::vector<std::string> roots = roots_;
    auto tree = co_await xenstore::read_tree_in(client_, std::move(roots), in, until);
    if (!tree) co_return std::move(tree).error();
    std::set<std::string> parents;
    for (const auto& root : roots_)
        for (auto at = root.rfind('/'); at > 0; at = root.rfind('/', at - 1))
            if (!parents.insert(root.substr(0, at)).second) break;
    std::vector<xenstore::Request> requests;
    for (const auto& parent : parents)
        requests.push_back(xenstore::request::read(parent, in));
    auto replies = co_await client_.ask(requests, until);
    if (!replies) co_return std::move(replies).error();
    if (auto refusal = first_refusal(requests, *replies)) co_return *std::move(refusal);
    auto reply = replies->begin();
    for (const auto& parent : parents) {
        if (reply->error == 0) tree->nodes.insert_or_assign(parent, std::move(reply->value));
        ++reply;
    }
    co_return std::move(tree);
}

Task<Result<void>> KeptNodes::look(Transaction in, Deadline until)
{
    if (!options_.before_nodes) co_return Result<void>();
    withdraw();
    auto tree = co_await read(in, until);
    if (!tree) co_return std::move(tree).error();
    before_.clear();
    std::vector<xenstore::Request> requests;
    for (const auto& [path, value] : tree->nodes)
        requests.push_back(xenstore::request::get_permissions(path, in));
    auto replies = co_await client_.ask(requests, until);
    if (!replies) co_return std::move(replies).error();
    if (auto refusal = first_refusal(requests, *replies)) co_return *std::move(refusal);
    auto reply = replies->begin();
    for (const auto& [path, value] : tree->nodes) {
        NodeBefore one{path, value, std::nullopt, {}};
        const auto permissions = xenstore::permissions_in(reply->value);
        if (reply->error == 0 && permissions) one.permissions = xenstore::shown(*permissions);
        before_.push_back(std::move(one));
        ++reply;
    }
    co_return Result<void>();
}

// What goes the innermost first: it comes back last. What comes the outermost first.
Task<Result<void>> KeptNodes::keep(Transaction in, Deadline until)
{
    if (!options_.before_nodes) co_return Result<void>();
    auto tree = co_await read(in, until);
    if (!tree) co_return std::move(tree).error();
    std::vector<NodeBefore> all;
    for (auto one = before_.rbegin(); one != before_.rend(); ++one) {
        const auto now = tree->value(one->path);
        if (now) one->after = std::string(*now);
        if (one->after != one->before) all.push_back(*one);
    }
    for (const auto& [path, value] : tree->nodes)
        if (std::ranges::find(before_, path, &NodeBefore::path) == before_.end())
            all.push_back({path, std::nullopt, value, {}});
    if (all.empty()) co_return Result<void>();
    auto kept = options_.before_nodes(domid_, all);
    if (!kept) co_return std::move(kept).error();
    proof_ = *std::move(kept);
    co_return co_await client_.write(proof_, "", in, until);
}

void KeptNodes::withdraw()
{
    // Not noted, it is not proved either, and stays undone.
    if (!proof_.empty()) (void)options_.nodes_settled(proof_, false);
    proof_.clear();
}

Task<void> KeptNodes::settle(Fate fate, Deadline until)
{
    if (fate == Fate::not_made) withdraw();
    if (fate != Fate::made || proof_.empty()) co_return;
    // The note takes the place of the node: without it the node stays.
    if (options_.nodes_settled(proof_, true)) (void)co_await client_.remove(proof_, 0, until);
    proof_.clear();
}

Task<Result<bool>> KeptNodes::commit(Transaction in, Deadline until)
{
    auto committed = co_await client_.commit(in, until);
    if (!committed && !client_.usable()) co_return std::move(committed).error();
    const bool made = committed && *committed;
    co_await settle(made ? Fate::made : Fate::not_made, until);
    co_return std::move(committed);
}

Task<void> KeptNodes::abort(Transaction in, Deadline until)
{
    if (client_.usable()) (void)co_await client_.abort(in, until);
    co_await settle(Fate::not_made, until);
}

namespace {

Task<Result<void>> change_in(KeptNodes& kept, xenstore::Client& client,
                             const std::vector<NodeChange>& changes, Transaction in, Deadline until)
{
    auto seen = co_await kept.look(in, until);
    if (!seen) co_return seen;
    std::vector<xenstore::Request> requests;
    for (const auto& change : changes)
        requests.push_back(change.value ? xenstore::request::write(change.path, *change.value, in)
                                        : xenstore::request::remove(change.path, in));
    auto replies = co_await client.ask(requests, until);
    if (!replies) co_return std::move(replies).error();
    if (auto refusal = first_refusal(requests, *replies)) co_return *std::move(refusal);
    for (const auto& change : changes) {
        if (change.value) continue;
        auto cleared = co_await remove_empty(client, xenstore::parents_of(change.path), in, until);
        if (!cleared) co_return cleared;
    }
    co_return co_await kept.keep(in, until);
}

}  // namespace

Task<Result<void>> change_and_keep(const Options& options, xenstore::Client& client,
                                   std::optional<std::int64_t> domid,
                                   std::vector<NodeChange> changes, Deadline until)
{
    if (changes.empty()) co_return Result<void>();
    std::vector<std::string> roots;
    for (const auto& change : changes)
        roots.push_back(change.path);
    KeptNodes kept(options, client, domid, std::move(roots));
    for (;;) {
        auto in = co_await client.begin(until);
        if (!in) co_return std::move(in).error();
        auto done = co_await change_in(kept, client, changes, *in, until);
        if (!done) {
            co_await kept.abort(*in, until);
            co_return done;
        }
        auto made = co_await kept.commit(*in, until);
        if (!made) co_return std::move(made).error();
        if (*made) co_return Result<void>();
        if (Clock::now() >= until)
            co_return Error(Errc::busy, "xenstore's other clients changed it all the time",
                            "run xlfsck again");
    }
}

}  // namespace xlstore::recovery
