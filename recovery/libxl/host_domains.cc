// SPDX-License-Identifier: MIT
// Three sources are put together by domid:
//
//   1. xenstore: one tree of all of /local/domain, /libxl and /vm (names, uuids, types, the pids of
//      device models)
//   2. the hypervisor's list, where it can be asked: it alone says that a domain does not live
//   3. libxl's directory: each userdata file names the domain that it belongs to
#include "recovery/libxl/host_domains.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "recovery/libxl/hypervisor.hpp"
#include "store/model/document.hpp"
#include "store/text/plain_text.hpp"
#include "store/xenstore/client.hpp"

namespace xlstore::recovery {

namespace {

using xenstore::Client;

constexpr std::string_view kVm = "/vm/";

std::optional<std::int64_t> domid_in(std::string_view text)
{
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
    return number;
}

class Listing {
public:
    Listing(Loop& loop, libxl::HostDirectories where, bool ask_hypervisor, Deadline until)
        : loop_(loop), where_(std::move(where)), ask_hypervisor_(ask_hypervisor), until_(until)
    {}

    Task<Result<HostDomains>> run()
    {
        auto client = co_await Client::connect(loop_, xenstore::socket_path(), until_);
        if (!client) co_return std::move(client).error();
        if (auto read = co_await of_xenstore(*client); !read) co_return std::move(read).error();
        of_hypervisor();
        of_files();
        for (auto& [domid, domain] : by_domid_)
            found_.domains.push_back(std::move(domain));
        co_return std::move(found_);
    }

private:
    HostDomain& domain(std::int64_t domid)
    {
        auto& one = by_domid_[domid];
        one.domid = domid;
        return one;
    }

    // Those with a home, and those that libxl alone has a node of.
    Task<Result<void>> of_xenstore(Client& client)
    {
        for (const char* place : {"/local/domain", "/libxl"}) {
            auto names = co_await client.directory(place, 0, until_);
            if (!names) co_return std::move(names).error();
            if (!*names) continue;
            for (const auto& name : **names) {
                const auto domid = domid_in(name);
                if (!domid || *domid == 0) continue;
                if (auto read = co_await nodes_of(client, *domid); !read) co_return read;
            }
        }
        co_return Result<void>();
    }

    Task<Result<void>> nodes_of(Client& client, std::int64_t domid)
    {
        if (by_domid_.contains(domid)) co_return Result<void>();
        const std::string home = "/local/domain/" + std::to_string(domid);
        const std::string libxl_node = "/libxl/" + std::to_string(domid);
        const std::array<std::string, 8> paths = {home + "/vm",
                                                  home + "/name",
                                                  home + "/image/device-model-pid",
                                                  libxl_node + "/type",
                                                  home + "/memory/static-max",
                                                  home + "/memory/target",
                                                  home,
                                                  libxl_node};
        for (const auto& path : paths) {
            auto value = co_await client.read(path, 0, until_);
            if (!value) co_return std::move(value).error();
            if (*value) found_.tree.nodes[path] = **std::move(value);
        }
        if (const auto vm = found_.tree.value(home + "/vm"); vm && vm->starts_with(kVm)) {
            const std::string path = std::string(*vm) + "/start_time";
            auto value = co_await client.read(path, 0, until_);
            if (!value) co_return std::move(value).error();
            if (*value) found_.tree.nodes[path] = **std::move(value);
        }
        if (auto read = co_await processors_of(client, home); !read) co_return read;
        take_in(domid, home, libxl_node);
        co_return Result<void>();
    }

    Task<Result<void>> processors_of(Client& client, std::string home)
    {
        auto processors = co_await client.directory(home + "/cpu", 0, until_);
        if (!processors) co_return std::move(processors).error();
        if (!*processors) co_return Result<void>();
        for (const auto& one : **processors) {
            const std::string path = home + "/cpu/" + one + "/availability";
            auto value = co_await client.read(path, 0, until_);
            if (!value) co_return std::move(value).error();
            found_.tree.nodes[home + "/cpu/" + one] = "";
            if (*value) found_.tree.nodes[path] = **std::move(value);
        }
        co_return Result<void>();
    }

    void take_in(std::int64_t domid, const std::string& home, const std::string& libxl_node)
    {
        const auto& tree = found_.tree;
        HostDomain& one = domain(domid);
        one.has_home = tree.contains(home);
        one.has_libxl_node = tree.contains(libxl_node);
        const auto vm = tree.value(home + "/vm").value_or("");
        if (vm.starts_with(kVm))
            one.uuid = normal_uuid(std::string(vm.substr(kVm.size()))).value_or("");
        one.name = plain_text(std::string(tree.value(home + "/name").value_or("")), 200);
        one.type = tree.value(libxl_node + "/type").value_or("");
        one.model_pid =
            domid_in(tree.value(home + "/image/device-model-pid").value_or("")).value_or(0);
    }

    void of_hypervisor()
    {
        if (!ask_hypervisor_) return;
        auto listed = list_hypervisor_domains();
        if (!listed) {
            found_.hypervisor_unasked = std::move(listed).error();
            return;
        }
        for (auto& [domid, one] : by_domid_)
            one.in_hypervisor = false;
        for (const auto& has : *listed) {
            HostDomain& one = domain(has.domid);
            one.in_hypervisor = true;
            one.paused = has.paused;
            one.dying = has.dying;
            one.uuid = has.uuid;
        }
    }

    void of_files()
    {
        auto names = libxl::list_userdata(where_.lib());
        if (!names) {
            found_.files_unseen = std::move(names).error();
            return;
        }
        for (auto& name : *names) {
            if (name.domain.domid == 0 || name.userid != libxl::kDocumentUserid) continue;
            HostDomain& one = domain(name.domain.domid);
            if (found_.hypervisor_unasked || !ask_hypervisor_)
                one.in_hypervisor = std::nullopt;
            else if (!one.in_hypervisor)
                one.in_hypervisor = false;
            if (name.which != 'l') one.files.push_back(std::move(name));
        }
    }

    Loop& loop_;
    libxl::HostDirectories where_;
    bool ask_hypervisor_;
    Deadline until_;
    HostDomains found_;
    std::map<std::int64_t, HostDomain> by_domid_;
};

}  // namespace

std::string HostDomain::subject() const
{
    const std::string text = "domain " + std::to_string(domid);
    return name.empty() ? text : text + " (" + name + ")";
}

Task<Result<HostDomains>> list_host_domains(Loop& loop, libxl::HostDirectories where,
                                            bool ask_hypervisor, Deadline until)
{
    Listing listing(loop, std::move(where), ask_hypervisor, until);
    co_return co_await listing.run();
}

}  // namespace xlstore::recovery
