// SPDX-License-Identifier: MIT
// The tree is read a level at a time: for each node of a level its value and its list of children
// go out together, so that the number of round trips is the depth, not the number of nodes. A list
// that is too long for one message is asked for in parts. All of it is one transaction that writes
// nothing: its commit says whether the nodes were all true at one moment, else it is read anew.
#include "store/xenstore/tree.hpp"

#include <cerrno>
#include <utility>

namespace xlstore::xenstore {

namespace {

std::string below(std::string_view path, std::string_view name)
{
    std::string whole(path);
    if (whole != "/") whole += '/';
    return whole.append(name);
}

Error too_much(const std::string& path)
{
    return Error(Errc::io,
                 "could not look into xenstore: the tree round " + path +
                     " is larger than one look takes in (" +
                     std::to_string(limits::xenstore_nodes_max) + " nodes, " +
                     std::to_string(limits::xenstore_tree_bytes_max >> 20) + " MiB)",
                 "see which domain wrote so many nodes there, and remove them");
}

/// One reading: a level of the tree at a time, so that many requests go at once.
class Reading {
public:
    Reading(Client& client, Transaction in, Deadline until)
        : client_(client), in_(in), until_(until)
    {}
    Task<Result<Tree>> run(std::vector<std::string> roots)
    {
        std::vector<std::string> level = std::move(roots);
        while (!level.empty()) {
            auto next = co_await look(level);
            if (!next) co_return std::move(next).error();
            level = *std::move(next);
        }
        co_return std::move(tree_);
    }

private:
    // Takes the nodes of a level in; returns those right below them.
    Task<Result<std::vector<std::string>>> look(const std::vector<std::string>& level)
    {
        std::vector<Request> requests;
        for (const auto& path : level) {
            requests.push_back(request::read(path, in_));
            requests.push_back(request::directory(path, in_));
        }
        auto replies = co_await client_.ask(std::move(requests), until_);
        if (!replies) co_return std::move(replies).error();
        std::vector<std::string> next;
        for (std::size_t at = 0; at < level.size(); ++at) {
            Reply& value = (*replies)[2 * at];
            const std::string& path = level[at];
            if (value.error == ENOENT) continue;
            if (value.error != 0) co_return refused("read " + path, value);
            auto names = co_await names_below(path, (*replies)[2 * at + 1]);
            if (!names) co_return std::move(names).error();
            for (const auto& name : *names)
                next.push_back(below(path, name));
            bytes_ += path.size() + value.value.size();
            tree_.nodes.insert_or_assign(path, std::move(value.value));
            if (tree_.nodes.size() + next.size() > limits::xenstore_nodes_max ||
                bytes_ > limits::xenstore_tree_bytes_max)
                co_return too_much(path);
        }
        co_return next;
    }
    Task<Result<std::vector<std::string>>> names_below(const std::string& path, const Reply& reply)
    {
        if (reply.error == 0)
            if (auto names = names_in(reply.value)) co_return *std::move(names);
        // Too long for one message, or what the daemon may not say: this tells which.
        auto names = co_await client_.directory(path, in_, until_);
        if (!names) co_return std::move(names).error();
        co_return std::move(*names).value_or(std::vector<std::string>());
    }

    Client& client_;
    Transaction in_;
    Deadline until_;
    Tree tree_;
    std::size_t bytes_ = 0;
};

}  // namespace

bool Tree::contains(std::string_view path) const
{
    return nodes.find(path) != nodes.end();
}

std::optional<std::string_view> Tree::value(std::string_view path) const
{
    const auto node = nodes.find(path);
    if (node == nodes.end()) return {};
    return std::string_view(node->second);
}

std::vector<std::string> Tree::children(std::string_view path) const
{
    std::vector<std::string> names;
    const std::string prefix = below(path, "");
    for (auto node = nodes.lower_bound(prefix); node != nodes.end(); ++node) {
        const std::string_view there = node->first;
        if (!there.starts_with(prefix)) break;
        const auto rest = there.substr(prefix.size());
        if (!rest.empty() && rest.find('/') == std::string_view::npos) names.emplace_back(rest);
    }
    return names;
}

Task<Result<Tree>> read_tree_in(Client& client, std::vector<std::string> roots, Transaction in,
                                Deadline until)
{
    Reading reading(client, in, until);
    co_return co_await reading.run(std::move(roots));
}

Task<Result<Tree>> read_tree(Client& client, std::vector<std::string> roots, Deadline until)
{
    for (;;) {
        auto in = co_await client.begin(until);
        if (!in) co_return std::move(in).error();
        Reading reading(client, *in, until);
        auto tree = co_await reading.run(roots);
        if (!tree) {
            if (client.usable()) (void)co_await client.abort(*in, until);
            co_return std::move(tree).error();
        }
        // It has written nothing: the commit only says whether all of it was true at one moment.
        auto unchanged = co_await client.commit(*in, until);
        if (!unchanged) co_return std::move(unchanged).error();
        if (*unchanged) co_return *std::move(tree);
        if (Clock::now() >= until)
            co_return Error(Errc::timeout,
                            "could not look into xenstore: it changed again and again meanwhile",
                            "other clients change the same nodes; run this again");
    }
}

}  // namespace xlstore::xenstore
