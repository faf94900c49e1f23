// SPDX-License-Identifier: MIT
// Adding, in libxl's order, all in one transaction:
//   1. libxl's own node goes and is written anew: with it the device is there, or is not.
//   2. The front end is made anew, the guest's to write; the keys that the guest must not change
//      get the back end's permissions.
//   3. The back end is made anew, its domain's to write; its keys are written a second time below
//      libxl's own node, because that copy alone is believed later.
// Nodes are removed before they are made: a permission set on a node that a guest made would come
// too late for what it had written there.
#include "store/xenstore/device_nodes.hpp"

#include <algorithm>
#include <utility>

namespace xlstore::xenstore {

namespace {

std::string domain_path(std::int64_t domid)
{
    return "/local/domain/" + std::to_string(domid);
}

std::uint32_t as_domid(std::int64_t domid)
{
    return static_cast<std::uint32_t>(domid);
}

// The requests of one addition.
class Addition {
public:
    Addition(std::int64_t domid, const XenstoreDevice& device, Transaction in)
        : device_(device), paths_(device_paths(domid, device)), in_(in)
    {
        const auto guest = as_domid(domid);
        const auto back = as_domid(device.backend_domid);
        guests_ = {{'n', guest}, {'r', back}};
        back_ends_ = {{'n', back}, {'r', guest}};
        guest_ = std::to_string(domid);
    }
    std::vector<Request> requests()
    {
        list_.push_back(request::remove(paths_.own, in_));
        write(paths_.own, "frontend", paths_.front);
        write(paths_.own, "backend", paths_.back);
        make_anew(paths_.front, guests_);
        write(paths_.front, "backend", paths_.back);
        write(paths_.front, "backend-id", std::to_string(device_.backend_domid), &guests_);
        write(paths_.front, "state", kInitialising, &guests_);
        for (const auto& key : device_.front)
            write(paths_.front, key.name, key.value, &guests_);
        for (const auto& key : device_.fixed)
            write(paths_.front, key.name, key.value, &back_ends_);
        make_anew(paths_.back, back_ends_);
        write(paths_.back, "frontend", paths_.front);
        for (const auto* node : {&paths_.back, &paths_.own}) {
            write(*node, "frontend-id", guest_);
            write(*node, "online", "1");
            write(*node, "state", kInitialising);
            for (const auto& key : device_.back)
                write(*node, key.name, key.value);
        }
        return std::move(list_);
    }

private:
    static constexpr const char* kInitialising = "1";

    void make_anew(const std::string& node, const Permissions& permissions)
    {
        list_.push_back(request::remove(node, in_));
        list_.push_back(request::make(node, in_));
        list_.push_back(request::set_permissions(node, permissions, in_));
    }
    // Without permissions of its own a node has those of the one above it.
    void write(const std::string& node, const std::string& key, const std::string& value,
               const Permissions* permissions = nullptr)
    {
        std::string path = node + "/" + key;
        list_.push_back(request::write(path, value, in_));
        if (permissions)
            list_.push_back(request::set_permissions(std::move(path), *permissions, in_));
    }

    const XenstoreDevice& device_;
    DevicePaths paths_;
    Transaction in_;
    Permissions guests_;
    Permissions back_ends_;
    std::string guest_;
    std::vector<Request> list_;
};

}  // namespace

std::string listing_path(std::int64_t domid, std::string_view kind)
{
    return "/libxl/" + std::to_string(domid) + "/device/" + std::string(kind);
}

DevicePaths device_paths(std::int64_t domid, std::string_view kind, std::int64_t number)
{
    const std::string device = "/" + std::to_string(number);
    return DevicePaths{listing_path(domid, kind) + device,
                       domain_path(domid) + "/device/" + std::string(kind) + device,
                       {}};
}

DevicePaths device_paths(std::int64_t domid, const XenstoreDevice& device)
{
    DevicePaths paths = device_paths(domid, device.kind, device.number);
    paths.back = domain_path(device.backend_domid) + "/backend/" + device.backend_kind + "/" +
                 std::to_string(domid) + "/" + std::to_string(device.number);
    return paths;
}

std::string back_end_by_driver(std::string_view own)
{
    constexpr std::string_view kLibxl = "/libxl/";
    constexpr std::string_view kDevice = "/device/";
    if (!is_node_path(own) || !own.starts_with(kLibxl)) return {};
    own.remove_prefix(kLibxl.size());
    const auto domain_end = own.find('/');
    if (domain_end == std::string_view::npos) return {};
    const auto domid = own.substr(0, domain_end);
    own.remove_prefix(domain_end);
    if (!number_of(domid) || !own.starts_with(kDevice)) return {};
    own.remove_prefix(kDevice.size());
    const auto kind_end = own.find('/');
    if (kind_end == std::string_view::npos || !number_of(own.substr(kind_end + 1))) return {};
    const auto kind = own.substr(0, kind_end);
    const auto number = own.substr(kind_end);
    return domain_path(0) + "/backend/" + std::string(kind) + "/" + std::string(domid) +
           std::string(number);
}

bool is_back_end_of(std::string_view recorded, std::int64_t domid, std::int64_t number) noexcept
{
    constexpr std::string_view kDomains = "/local/domain/";
    if (!is_node_path(recorded) || !recorded.starts_with(kDomains)) return false;
    recorded.remove_prefix(kDomains.size());
    const auto part = [&recorded] {
        const auto end = std::min(recorded.find('/'), recorded.size());
        const auto first = recorded.substr(0, end);
        recorded.remove_prefix(std::min(end + 1, recorded.size()));
        return first;
    };
    if (!number_of(part()) || part() != "backend") return false;
    (void)part();  // its kind
    return number_of(part()) == domid && number_of(part()) == number && recorded.empty();
}

std::vector<Request> requests_to_add(std::int64_t domid, const XenstoreDevice& device,
                                     Transaction in)
{
    return Addition(domid, device, in).requests();
}

bool is_own_back_end(std::string_view back) noexcept
{
    return back.starts_with("/local/domain/0/");
}

std::vector<Request> requests_to_remove(const DevicePaths& paths, Transaction in)
{
    std::vector<Request> requests;
    for (const auto* node : {&paths.front, &paths.own})
        requests.push_back(request::remove(*node, in));
    if (is_own_back_end(paths.back)) requests.push_back(request::remove(paths.back, in));
    return requests;
}

std::vector<std::string> parents_of(const std::string& node)
{
    const auto above = [](const std::string& path) { return path.substr(0, path.rfind('/')); };
    const auto ends_with = [](const std::string& path, std::string_view last) {
        return path.ends_with(last) && path.size() > last.size();
    };
    const std::string kind = above(node);
    if (ends_with(above(kind), "/device")) return {kind};
    const std::string back_ends = above(above(kind));
    if (is_own_back_end(node) && ends_with(back_ends, "/backend")) return {kind, above(kind)};
    return {};
}

std::vector<std::string> parents_of(const DevicePaths& paths)
{
    std::vector<std::string> parents;
    for (const auto* node : {&paths.front, &paths.own, &paths.back})
        std::ranges::copy(parents_of(*node), std::back_inserter(parents));
    return parents;
}

}  // namespace xlstore::xenstore
