// SPDX-License-Identifier: MIT
#include "store/operation/host_xenstore.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace xlstore {

namespace {
constexpr auto kXenstoreAsking = std::chrono::seconds(5);
}  // namespace

bool has_host_xenstore()
{
    return access(xenstore::socket_path().c_str(), F_OK) == 0 ||
           (errno != ENOENT && errno != ENOTDIR);
}

Task<Result<std::optional<xenstore::Client>>> connect_host_xenstore(Loop& loop, Deadline until)
{
    std::optional<xenstore::Client> connected;
    if (!has_host_xenstore()) co_return connected;
    auto client = co_await xenstore::Client::connect(loop, xenstore::socket_path(), until);
    if (!client) co_return std::move(client).error();
    connected = *std::move(client);
    co_return connected;
}

Task<Result<bool>> is_introduced(Loop& loop, std::int64_t domid, Deadline until)
{
    auto client = co_await xenstore::Client::connect(loop, xenstore::socket_path(), until);
    if (!client) co_return std::move(client).error();
    co_return co_await client->is_domain_introduced(static_cast<std::uint32_t>(domid), until);
}

Task<Result<bool>> has_xenstore_domain(Loop& loop, std::int64_t domid, Deadline until)
{
    auto client = co_await xenstore::Client::connect(loop, xenstore::socket_path(), until);
    if (!client) co_return std::move(client).error();
    for (const std::string root : {"/local/domain/", "/libxl/"}) {
        auto there = co_await client->read(root + std::to_string(domid), 0, until);
        if (!there) co_return std::move(there).error();
        if (*there) co_return true;
    }
    co_return co_await client->is_domain_introduced(static_cast<std::uint32_t>(domid), until);
}

Deadline xenstore_deadline(Deadline until)
{
    return std::min(until, Clock::now() + kXenstoreAsking);
}

Task<Result<bool>> in_xenstore_transaction(xenstore::Client& client, XenstoreChange change,
                                           Deadline until)
{
    for (;;) {
        auto transaction = co_await client.begin(until);
        if (!transaction) co_return std::move(transaction).error();
        auto tried = co_await change(client, *transaction, until);
        if (!tried && client.usable()) (void)co_await client.abort(*transaction, until);
        if (!tried) co_return std::move(tried).error();
        if (*tried == TransactionEnd::abort) {
            (void)co_await client.abort(*transaction, until);
            co_return false;
        }
        auto committed = co_await client.commit(*transaction, until);
        if (!committed) co_return std::move(committed).error();
        if (*committed) co_return true;
        if (Clock::now() >= until)
            co_return Error(Errc::io,
                            "xenstore: other clients changed these nodes at each try until the "
                            "deadline");
    }
}

Task<Result<void>> remove_empty(xenstore::Client& client, std::vector<std::string> nodes,
                                xenstore::Transaction in, Deadline until)
{
    for (auto& node : nodes) {
        auto below = co_await client.directory(node, in, until);
        if (!below) co_return std::move(below).error();
        if (!*below || !(*below)->empty()) continue;
        auto removed = co_await client.remove(std::move(node), in, until);
        if (!removed) co_return removed;
    }
    co_return Result<void>();
}

}  // namespace xlstore
