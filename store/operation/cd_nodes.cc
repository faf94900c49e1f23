// SPDX-License-Identifier: MIT
// libxl keeps the medium of an emulated CD drive twice in xenstore: below its own node of the
// device, which only the toolstack writes, and in the back end. Which back end that is, libxl's
// node says; it is compared with the only form that such a path can have, so that no text of the
// tree is ever written to. Both are written in one transaction, and only while both devices are
// there: a write alone would make a device that is gone again, with these nodes and no others.
#include "store/operation/cd_nodes.hpp"

#include <algorithm>
#include <array>

#include "store/operation/host_xenstore.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

using xenstore::Client;

constexpr std::string_view kParams = "/params";
constexpr std::string_view kType = "/type";

// "qdisk" of "/local/domain/0/backend/qdisk/7/5632"; nothing: it is not that device's back end.
std::optional<std::string> kind_of_backend(std::string_view path, const std::string& device)
{
    constexpr std::string_view start = "/local/domain/";
    constexpr std::string_view middle = "/backend/";
    if (!path.starts_with(start) || !path.ends_with(device) || !xenstore::is_node_path(path))
        return std::nullopt;
    path.remove_prefix(start.size());
    path.remove_suffix(device.size());
    const auto slash = path.find('/');
    if (slash == 0 || slash == std::string_view::npos ||
        path.substr(0, slash).find_first_not_of("0123456789") != std::string_view::npos ||
        !path.substr(slash).starts_with(middle))
        return std::nullopt;
    const auto kind = path.substr(slash + middle.size());
    constexpr std::array<std::string_view, 4> known = {"qdisk", "vbd", "vbd3", "tap"};
    if (std::find(known.begin(), known.end(), kind) == known.end()) return std::nullopt;
    return std::string(kind);
}

// libxl's name of an image's format in xenstore.
std::string_view format_in_xenstore(std::string_view format)
{
    return format == "raw" || format == "empty" || format.empty() ? "aio" : format;
}

// libxl's word for a back end in its node `type`.
std::string_view type_of_backend(std::string_view kind)
{
    if (kind == "vbd") return "phy";
    return kind == "qdisk" ? kind : "tap";
}

Task<Result<std::string>> read_or_empty(Client& client, std::string path, Deadline until)
{
    auto value = co_await client.read(std::move(path), 0, until);
    if (!value) co_return std::move(value).error();
    co_return value->value_or("");
}

}  // namespace

Task<Result<std::optional<CdNodes>>> find_cd_nodes(Loop& loop, std::int64_t domid,
                                                   std::string drive, Deadline until)
{
    constexpr std::string_view ide = "ide-";
    std::optional<CdNodes> found;
    if (!drive.starts_with(ide)) co_return found;
    const std::string number = drive.substr(ide.size());
    CdNodes nodes;
    nodes.libxl = "/libxl/" + std::to_string(domid) + "/device/vbd/" + number;
    until = xenstore_deadline(until);
    auto client = co_await connect_host_xenstore(loop, until);
    if (!client) co_return std::move(client).error();
    if (!*client) co_return found;
    auto backend = co_await (*client)->read(nodes.libxl + "/backend", 0, until);
    if (!backend) co_return std::move(backend).error();
    if (!*backend) co_return found;
    nodes.backend = **std::move(backend);
    auto kind =
        kind_of_backend(nodes.backend, "/" + std::to_string(domid) + "/" + number);
    if (!kind)
        co_return Error(Errc::protocol,
                        "xenstore: " + nodes.libxl + "/backend is " + json_shown(nodes.backend) +
                            ", which cannot be that device's",
                        "nothing was changed; see what wrote it: 'xenstore-ls /libxl'");
    nodes.kind = *std::move(kind);
    auto params = co_await read_or_empty(**client, nodes.backend + std::string(kParams), until);
    if (!params) co_return std::move(params).error();
    nodes.params = *std::move(params);
    auto of_libxl = co_await read_or_empty(**client, nodes.libxl + std::string(kParams), until);
    if (!of_libxl) co_return std::move(of_libxl).error();
    nodes.libxl_params = *std::move(of_libxl);
    found = std::move(nodes);
    co_return found;
}

std::string cd_params(std::string_view kind, std::string_view disk_json)
{
    auto path = json_get_string(disk_json, "pdev_path").value_or("");
    const auto format = json_get_string(disk_json, "format").value_or("raw");
    if (path.empty() || format == "empty") return {};
    // A block device of the host's: the kernel's back end opens it, and knows no format.
    if (kind == "vbd") return path;
    return std::string(format_in_xenstore(format)) + ":" + path;
}

bool says(const CdNodes& nodes, std::string_view params) noexcept
{
    return nodes.params == params && nodes.libxl_params == params;
}

namespace {

// If they were written all the same, a device that is gone would reappear with only these nodes.
Task<Result<bool>> drive_is_there(Client& client, const CdNodes& nodes, xenstore::Transaction in,
                                  Deadline until)
{
    for (const auto* device : {&nodes.backend, &nodes.libxl}) {
        auto there = co_await client.read(*device, in, until);
        if (!there) co_return std::move(there).error();
        if (!*there) co_return false;
    }
    co_return true;
}

Task<Result<TransactionEnd>> write_both(Client& client, const CdNodes& nodes,
                                        const std::string& params, xenstore::Transaction in,
                                        Deadline until)
{
    auto there = co_await drive_is_there(client, nodes, in, until);
    if (!there) co_return std::move(there).error();
    if (!*there) co_return TransactionEnd::abort;
    for (const auto* device : {&nodes.backend, &nodes.libxl}) {
        std::string type(type_of_backend(nodes.kind));
        auto typed =
            co_await client.write(*device + std::string(kType), std::move(type), in, until);
        if (!typed) co_return std::move(typed).error();
        auto written = co_await client.write(*device + std::string(kParams), params, in, until);
        if (!written) co_return std::move(written).error();
    }
    co_return TransactionEnd::commit;
}

}  // namespace

Task<Result<bool>> write_cd_params(Loop& loop, CdNodes nodes, std::string params, Deadline until)
{
    until = xenstore_deadline(until);
    auto client = co_await connect_host_xenstore(loop, until);
    if (!client) co_return std::move(client).error();
    if (!*client) co_return false;
    const XenstoreChange change = [&](Client& with, xenstore::Transaction in,
                                      Deadline limit) -> Task<Result<TransactionEnd>> {
        return write_both(with, nodes, params, in, limit);
    };
    co_return co_await in_xenstore_transaction(**client, change, until);
}

}  // namespace xlstore
