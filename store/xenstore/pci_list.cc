// SPDX-License-Identifier: MIT
// The list is numbered nodes ("dev-0", "key-0" …) and their count. A device is added behind the
// last one; one that goes is closed first (its state and that of the whole list), and once the
// guest has let go, those behind it move up by one, as libxl has it.
#include "store/xenstore/pci_list.hpp"

#include <array>
#include <cstdio>

#include "store/text/json_text.hpp"

namespace xlstore::xenstore {

namespace {

// Of each device in the list; libxl moves them in this order.
constexpr std::array<std::string_view, 7> kOfEach = {"state", "dev",    "key", "vdev",
                                                     "opts",  "vdevfn", "name"};
constexpr const char* kBegun = "1";
constexpr const char* kDeviceClosing = "5";
constexpr const char* kReconfiguring = "7";

std::string listed_name(std::string_view name, std::int32_t index)
{
    return std::string(name) + "-" + std::to_string(index);
}

std::string front_path(std::int64_t domid)
{
    return "/local/domain/" + std::to_string(domid) + "/device/pci/0";
}

int option_number(std::string_view json, std::string_view member)
{
    if (json_find(json, member) == "true") return 1;
    return static_cast<int>(json_get_integer(json, member).value_or(0));
}

std::string options_of(std::string_view json)
{
    return "msitranslate=" + std::to_string(option_number(json, "msitranslate")) +
           ",power_mgmt=" + std::to_string(option_number(json, "power_mgmt")) +
           ",permissive=" + std::to_string(option_number(json, "permissive")) +
           ",rdm_policy=" + json_get_string(json, "rdm_policy").value_or("strict");
}

// The back end and the front end of a domain that has had none.
void make_list(std::vector<Request>& requests, std::int64_t domid, const std::string& domain_name,
               Transaction in)
{
    const auto guest = static_cast<std::uint32_t>(domid);
    const Permissions back_ends = {{'n', 0}, {'r', guest}};
    const Permissions guests = {{'n', guest}, {'r', 0}};
    const std::string back = pci_list_path(domid);
    const std::string front = front_path(domid);
    const auto make = [&](const std::string& node, const Permissions& permissions) {
        requests.push_back(request::remove(node, in));
        requests.push_back(request::make(node, in));
        requests.push_back(request::set_permissions(node, permissions, in));
    };
    make(back, back_ends);
    for (const auto& [key, value] : {std::pair<std::string, std::string>{"frontend", front},
                                     {"frontend-id", std::to_string(domid)},
                                     {"online", "1"},
                                     {"state", kBegun},
                                     {"domain", domain_name}})
        requests.push_back(request::write(back + "/" + key, value, in));
    make(front, guests);
    for (const auto& [key, value] : {std::pair<std::string, std::string>{"backend", back},
                                     {"backend-id", "0"},
                                     {"state", kBegun}})
        requests.push_back(request::write(front + "/" + key, value, in));
}

}  // namespace

std::optional<std::int32_t> PciList::index_of(const PciAddress& device) const
{
    for (std::int32_t index = 0; index < size; ++index) {
        const auto found = nodes.find(listed_name("dev", index));
        if (found != nodes.end() && pci_address_from(found->second) == device) return index;
    }
    return std::nullopt;
}

std::string pci_list_path(std::int64_t domid)
{
    return "/local/domain/0/backend/pci/" + std::to_string(domid) + "/0";
}

std::vector<std::string> pci_list_names(std::int32_t size)
{
    std::vector<std::string> names;
    for (std::int32_t index = 0; index < size; ++index)
        for (const auto name : kOfEach)
            names.push_back(listed_name(name, index));
    return names;
}

std::vector<Request> requests_to_list_pci(std::int64_t domid, const std::string& domain_name,
                                          const PciAddress& device, std::string_view json,
                                          const PciList& list, Transaction in)
{
    std::vector<Request> requests;
    const std::string back = pci_list_path(domid);
    const auto write = [&](const std::string& key, const std::string& value) {
        requests.push_back(request::write(back + "/" + key, value, in));
    };
    if (!list.is_there) make_list(requests, domid, domain_name, in);
    const std::int32_t index = list.size;
    write(listed_name("key", index), device.text());
    write(listed_name("dev", index), device.text());
    if (const auto devfn = json_get_integer(json, "vdevfn").value_or(0); devfn > 0) {
        std::array<char, 24> hex{};
        std::snprintf(hex.data(), hex.size(), "%llx", static_cast<unsigned long long>(devfn));
        write(listed_name("vdevfn", index), hex.data());
    }
    if (const auto name = json_get_string(json, "name")) write(listed_name("name", index), *name);
    write(listed_name("opts", index), options_of(json));
    write(listed_name("state", index), kBegun);
    write("num_devs", std::to_string(index + 1));
    if (index > 0) write("state", kReconfiguring);
    return requests;
}

std::vector<Request> requests_to_close_pci(std::int64_t domid, std::int32_t index, Transaction in)
{
    const std::string back = pci_list_path(domid);
    return {request::write(back + "/" + listed_name("state", index), kDeviceClosing, in),
            request::write(back + "/state", kReconfiguring, in)};
}

std::vector<Request> requests_to_unlist_pci(std::int64_t domid, std::int32_t index,
                                            const PciList& list, Transaction in)
{
    std::vector<Request> requests;
    const std::string back = pci_list_path(domid);
    if (list.size <= 1) {
        requests.push_back(request::remove(front_path(domid), in));
        requests.push_back(request::remove(back, in));
        return requests;
    }
    const std::int32_t last = list.size - 1;
    for (std::int32_t at = index; at < list.size; ++at)
        for (const auto name : kOfEach) {
            const auto next =
                at < last ? list.nodes.find(listed_name(name, at + 1)) : list.nodes.end();
            const std::string path = back + "/" + listed_name(name, at);
            if (next != list.nodes.end())
                requests.push_back(request::write(path, next->second, in));
            else if (list.nodes.contains(listed_name(name, at)))
                requests.push_back(request::remove(path, in));
        }
    requests.push_back(request::write(back + "/num_devs", std::to_string(last), in));
    return requests;
}

}  // namespace xlstore::xenstore
