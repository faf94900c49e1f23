// SPDX-License-Identifier: MIT
//   1. Which kinds of device there are: libxl's for the domain, and the back ends of the host; and
//      the PCI devices that libxl has a note of.
//   2. The directories of those kinds are listed, libxl's own and those of the back ends: a name is
//      proof that a node is there, and many names come in one message.
//   3. Of libxl's nodes the few values are read that tell which back end and front end belong to
//      them.
//   4. Those of driver domains that were named so are listed, too.
//   5. What stands beside them is read: is the front end there, is the back end online, has its
//      script run, which ports are used.
// The requests of a step go out together. The daemon answers in order, so that a domain costs as
// many turns as there are steps, however many devices it has.
#include "recovery/passes/xenstore_glance.hpp"

#include <cerrno>
#include <string>
#include <vector>

#include "store/xenstore/xen_device.hpp"

namespace xlstore::recovery {

namespace {

using xenstore::Client;
using xenstore::Tree;

constexpr const char* kBackEnds = "/local/domain/0/backend";
constexpr const char* kPciOwners = "/libxl/pci";

class Glance {
public:
    Glance(Client& client, std::int64_t domid, bool with_media, Deadline until)
        : client_(client), domid_(domid), with_media_(with_media), until_(until)
    {}

    Task<Result<Tree>> run()
    {
        std::vector<std::string> kinds;
        kinds.push_back(libxl_devices());
        kinds.emplace_back(kBackEnds);
        kinds.emplace_back(kPciOwners);
        auto listed = co_await list(std::move(kinds));
        if (!listed) co_return std::move(listed).error();
        listed = co_await list(directories());
        if (!listed) co_return std::move(listed).error();
        auto values = co_await read(in_libxl_devices());
        if (!values) co_return std::move(values).error();
        const auto elsewhere = xenstore::driver_domain_roots(tree_, domid_);
        if (!elsewhere.empty()) {
            listed = co_await list(elsewhere);
            if (!listed) co_return std::move(listed).error();
        }
        listed = co_await list(ports());
        if (!listed) co_return std::move(listed).error();
        auto rest = co_await read(beside_libxl_devices());
        if (!rest) co_return std::move(rest).error();
        co_return std::move(tree_);
    }

private:
    [[nodiscard]] std::string libxl_devices() const
    {
        return "/libxl/" + std::to_string(domid_) + "/device";
    }
    [[nodiscard]] std::string list_of_pci() const
    {
        return std::string(kBackEnds) + "/pci/" + std::to_string(domid_) + "/0";
    }

    // Of the kinds that are there.
    [[nodiscard]] std::vector<std::string> directories() const
    {
        const std::string of_domain = "/" + std::to_string(domid_);
        std::vector<std::string> all;
        for (const auto& kind : xenstore::device_kinds()) {
            if (auto directory = libxl_devices() + "/" + std::string(kind.front);
                tree_.contains(directory))
                all.push_back(std::move(directory));
            for (const auto back : kind.backs)
                if (const auto of_kind = std::string(kBackEnds) + "/" + std::string(back);
                    tree_.contains(of_kind))
                    all.push_back(of_kind + of_domain);
        }
        if (tree_.contains(std::string(kBackEnds) + "/pci")) all.push_back(list_of_pci());
        return all;
    }

    [[nodiscard]] std::vector<std::string> in_libxl_devices() const
    {
        std::vector<std::string> paths;
        for (const auto& device : xenstore::xen_devices(tree_, domid_)) {
            if (!device.has_libxl_node) continue;
            const auto add = [&](const char* name) {
                paths.push_back(device.libxl_node + "/" + name);
            };
            const auto front = device.kind->front;
            add("backend");
            add("frontend");
            if (front == "vbd" || front == "vusb") add("type");
            if (front == "vbd" || front == "vif") add("script");
            if (front == "vbd") add("dev");
            if (front == "vbd" && with_media_) add("params");
        }
        for (const auto& device : tree_.children(kPciOwners))
            paths.push_back(kPciOwners + ("/" + device) + "/domid");
        for (const auto& name : tree_.children(list_of_pci()))
            if (name == "num_devs" || name.starts_with("dev-"))
                paths.push_back(list_of_pci() + "/" + name);
        return paths;
    }

    [[nodiscard]] std::vector<std::string> ports() const
    {
        std::vector<std::string> paths;
        for (const auto& device : xenstore::xen_devices(tree_, domid_)) {
            if (device.kind->front != "vusb") continue;
            paths.push_back(device.libxl_node + "/port");
            if (!device.backend.empty()) paths.push_back(device.backend + "/port");
        }
        return paths;
    }

    [[nodiscard]] std::vector<std::string> beside_libxl_devices() const
    {
        std::vector<std::string> paths;
        for (const auto& device : xenstore::xen_devices(tree_, domid_)) {
            paths.push_back(device.frontend);
            for (const auto& port : tree_.children(device.libxl_node + "/port"))
                paths.push_back(device.libxl_node + "/port/" + port);
            if (device.backend.empty()) continue;
            for (const auto& port : tree_.children(device.backend + "/port"))
                paths.push_back(device.backend + "/port/" + port);
            paths.push_back(device.backend + "/online");
            if (tree_.value(device.libxl_node + "/script"))
                paths.push_back(device.backend + "/hotplug-status");
            if (device.kind->front == "vbd" && with_media_)
                paths.push_back(device.backend + "/params");
        }
        return paths;
    }

    Task<Result<void>> read(std::vector<std::string> paths)
    {
        std::vector<xenstore::Request> requests;
        for (const auto& path : paths)
            requests.push_back(xenstore::request::read(path));
        auto replies = co_await client_.ask(std::move(requests), until_);
        if (!replies) co_return std::move(replies).error();
        for (std::size_t at = 0; at < paths.size(); ++at) {
            auto& reply = (*replies)[at];
            if (reply.error == ENOENT) continue;
            if (reply.error != 0) co_return xenstore::refused("read " + paths[at], reply);
            tree_.nodes.insert_or_assign(paths[at], std::move(reply.value));
        }
        co_return Result<void>();
    }

    // What is below a node is known by its name.
    Task<Result<void>> list(std::vector<std::string> paths)
    {
        std::vector<xenstore::Request> requests;
        for (const auto& path : paths)
            requests.push_back(xenstore::request::directory(path));
        auto replies = co_await client_.ask(std::move(requests), until_);
        if (!replies) co_return std::move(replies).error();
        for (std::size_t at = 0; at < paths.size(); ++at) {
            const auto& reply = (*replies)[at];
            if (reply.error == ENOENT) continue;
            auto names = reply.error == 0 ? xenstore::names_in(reply.value) : std::nullopt;
            if (!names) {  // too long for one message, or worse
                auto whole = co_await client_.directory(paths[at], 0, until_);
                if (!whole) co_return std::move(whole).error();
                names = std::move(*whole).value_or(std::vector<std::string>());
            }
            for (const auto& name : *names)
                tree_.nodes.emplace(paths[at] + "/" + name, "");
        }
        co_return Result<void>();
    }

    Client& client_;
    std::int64_t domid_;
    bool with_media_;
    Deadline until_;
    Tree tree_;
};

}  // namespace

Task<Result<Tree>> glance(Client& client, std::int64_t domid, bool with_media, Deadline until)
{
    Glance first(client, domid, with_media, until);
    co_return co_await first.run();
}

}  // namespace xlstore::recovery
