// SPDX-License-Identifier: MIT
// One hold of the fast lock for the whole operation. The port's node is read again in the
// transaction that writes it: only what was seen is overwritten.
#include "store/operation/xenstore_port.hpp"

#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/domain.hpp"
#include "store/operation/host_usb_port.hpp"
#include "store/operation/nodes_fate.hpp"
#include "store/operation/xenstore_entry.hpp"
#include "store/os/host_usb.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

using xenstore::Client;

constexpr std::string_view kUsbClass = "usbdevs";
constexpr const char* kPortUnchanged = "nothing was changed";
constexpr std::size_t kPortShown = 100;

class XenstorePort {
public:
    explicit XenstorePort(XenstoreWork& work)
        : work_(work), name_{work.request.device_class, work.request.key}
    {}

    Task<Result<Done>> attach()
    {
        auto ready = prepare();
        if (!ready) co_return of(std::move(ready).error());
        auto client = co_await connect_to_xenstore(work_.store, work_.until);
        if (!client) co_return of(std::move(client).error());
        auto fast = co_await fast_lock();
        if (!fast) co_return std::move(fast).error();
        const Deadline held = work_.held_until();
        auto free = co_await look_at_port(*client, held);
        if (!free) co_return of(std::move(free).error());
        if (!free->empty())
            co_return of(Error(Errc::exists, port_ + " is " + shown(*free),
                               std::string(kPortUnchanged) + "; choose another port"));
        ThingName name = name_;
        std::string json = json_;
        auto entry =
            co_await commit_xenstore_entry(work_, *fast, std::move(name), std::move(json), held);
        if (!entry) co_return of(std::move(entry).error());
        const std::function<Task<Result<Done>>()> rest = [&]() -> Task<Result<Done>> {
            return plug_in(*client, *fast, *entry, held);
        };
        co_return co_await behind_the_commit(rest, doubts());
    }

    Task<Result<Done>> detach()
    {
        if (auto there = find_entry(); !there) co_return of(std::move(there).error());
        auto client = co_await connect_to_xenstore(work_.store, work_.until);
        if (!client) co_return of(std::move(client).error());
        auto fast = co_await fast_lock();
        if (!fast) co_return std::move(fast).error();
        const Deadline held = work_.held_until();
        auto entry = find_entry();  // another process may have removed it, and put it anew
        if (!entry) co_return of(std::move(entry).error());
        auto there = co_await look_at_port(*client, held);
        if (!there && there.error().code != Errc::not_found) co_return of(std::move(there).error());
        auto marked = co_await mark_xenstore_entry(work_, *fast, *entry, held);
        if (!marked) co_return of(std::move(marked).error());
        const bool has_port = there.has_value();
        const std::string value = has_port ? *there : std::string();
        const std::function<Task<Result<Done>>()> rest = [&]() -> Task<Result<Done>> {
            return unplug(*client, *fast, has_port, value);
        };
        co_return co_await behind_the_commit(rest, doubts());
    }

private:
    [[nodiscard]] Error of(Error error) const { return work_.of(std::move(error), name_.text()); }
    [[nodiscard]] static std::string shown(const std::string& value)
    {
        return value.empty() ? "free" : json_shown(plain_text(value, kPortShown));
    }
    // Its number. Sets json_.
    Result<std::int64_t> find_entry()
    {
        auto entry = read_thing(work_.store.db(), work_.domain.id, name_);
        if (!entry || entry->primary != "xenstore") return no_entry_of_xenstore();
        json_ = std::move(entry->json);
        return entry->id;
    }
    Task<Result<FastLock>> fast_lock()
    {
        co_return co_await work_.store.fast_lock(work_.store.loop(), work_.domain.id,
                                                 work_.operation() + "/" + name_.key, work_.until);
    }

    Task<Result<Done>> plug_in(Client& client, const FastLock& fast, CommittedEntry entry,
                               Deadline held)
    {
        auto fate = co_await write_port(client, "", usb_, held);
        if (fate.fate == NodesFate::written) {
            Done done{{}, port_ + " is " + shown(usb_)};
            co_return done;
        }
        if (fate.fate == NodesFate::unknown) co_return doubt(fate.why);
        auto undone = co_await take_xenstore_entry_back(work_, fast, std::move(entry));
        if (!undone) co_return doubt(fate.why + "; " + undone.error().message);
        co_return of(
            Error(Errc::refused, std::move(fate.why),
                  std::string(kPortUnchanged) + (fate.advice.empty() ? "" : "; " + fate.advice)));
    }

    // The port is written also where it is free: what a dead client's transaction had of it fails
    // then.
    Task<Result<Done>> unplug(Client& client, const FastLock& fast, bool has_port,
                              std::string value)
    {
        if (has_port) {
            auto fate = co_await write_port(client, value, "", work_.looked_until());
            if (fate.fate != NodesFate::written) co_return doubt(fate.why);
        }
        ThingName name = name_;
        auto removed = co_await remove_xenstore_entry(work_, fast, std::move(name));
        if (!removed) co_return doubt("its port is free, and " + removed.error().message);
        Done done{{},
                  has_port ? port_ + " was " + shown(value) + ", and is free"
                           : "xenstore has no " + port_};
        co_return done;
    }

    [[nodiscard]] std::function<Error(const std::string&)> doubts() const
    {
        return [this](const std::string& why) -> Error { return doubt(why); };
    }

    // What can be found out without a lock: which device of the host it is.
    Result<void> prepare()
    {
        auto json = json_minify(work_.request.text, "thing", limits::thing_bytes_max);
        if (!json) return std::move(json).error();
        const std::string& sysfs = work_.store.host().sysfs;
        auto whole = with_usb_address(sysfs, kUsbClass, *json);
        if (!whole) return std::move(whole).error();
        auto draft = draft_hot_plug(kUsbClass, *whole);  // checks the element
        if (!draft) return std::move(draft).error();
        name_ = draft->thing;
        json_ = *draft->image_after;
        const auto host = json_find(json_, "type.hostdev");
        if (!host)
            return Error(Errc::refused, "only a device of the host is given to such a controller",
                         std::string(kPortUnchanged) + "; name one by \"type.hostdev\"");
        const HostUsb device{json_get_integer(*host, "hostbus").value_or(0),
                             json_get_integer(*host, "hostaddr").value_or(0)};
        const auto port = find_usb_port(sysfs, device);
        if (!port)
            return Error(Errc::refused,
                         "the host shows no USB device at bus " + std::to_string(device.bus) +
                             ", address " + std::to_string(device.address),
                         std::string(kPortUnchanged) + "; 'lsusb' shows what it has");
        usb_ = *port;
        return {};
    }

    // Under the lock: the domain is the one that is meant, and has the port. Value: what is there.
    // Error not_found: there is no such controller, or port, any more.
    Task<Result<std::string>> look_at_port(Client& client, Deadline held)
    {
        auto same = co_await check_domain(client, work_.domain, held);
        if (!same) co_return std::move(same).error();
        const auto controller = json_get_integer(json_, "ctrl").value_or(-1);
        const auto port = json_get_integer(json_, "port").value_or(0);
        const auto paths = xenstore::device_paths(work_.domain.domid, "vusb", controller);
        auto back = co_await client.read(paths.own + "/backend", 0, held);
        if (!back) co_return std::move(back).error();
        port_ = paths.own;
        if (!*back)
            co_return Error(Errc::not_found, "xenstore has no " + paths.own + "/backend",
                            std::string(kPortUnchanged) + "; attach its controller first");
        if (!xenstore::is_back_end_of(**back, work_.domain.domid, controller))
            co_return Error(Errc::refused,
                            paths.own + "/backend is no path of its back end: " + shown(**back),
                            std::string(kPortUnchanged) + "; see what wrote it");
        if ((*back)->find("/backend/qusb/") == std::string::npos)
            co_return Error(
                Errc::refused,
                "its controller is of type pv: the device would have to be bound to usbback",
                std::string(kPortUnchanged) + "; libxl does it, or use a controller of type qusb");
        back_ = **back;
        port_ = back_ + "/port/" + std::to_string(port);
        auto value = co_await client.read(port_, 0, held);
        if (!value) co_return std::move(value).error();
        if (!*value)
            co_return Error(
                Errc::not_found, "xenstore has no " + port_,
                std::string(kPortUnchanged) + "; choose a port that the controller has");
        co_return **std::move(value);
    }

    Task<NodesFate> write_port(Client& client, std::string from, std::string to, Deadline held)
    {
        for (;;) {
            auto in = co_await client.begin(held);
            if (!in) co_return NodesFate(NodesFate::refused, std::move(in).error());
            auto value = co_await client.read(port_, *in, held);
            if (!value) co_return NodesFate(NodesFate::refused, std::move(value).error());
            if (*value != from) {
                co_await abort_quietly(client, *in, held);
                co_return NodesFate(NodesFate::refused, port_ + " was changed meanwhile",
                                    "run this again");
            }
            std::vector<xenstore::Request> requests;
            requests.push_back(xenstore::request::write(port_, to, *in));
            auto replies = co_await client.ask(requests, held);
            if (!replies) co_return NodesFate(NodesFate::refused, std::move(replies).error());
            if (auto refusal = first_refusal(requests, *replies)) {
                co_await abort_quietly(client, *in, held);
                co_return NodesFate(NodesFate::refused, *std::move(refusal));
            }
            auto fate = co_await commit_nodes(client, *in, held);
            if (fate) co_return *std::move(fate);
        }
    }

    [[nodiscard]] Error doubt(const std::string& why) const
    {
        const bool attaches = work_.request.kind == Request::Kind::attach;
        return work_.in_doubt(name_.text() +
                                  (attaches ? " may be in xenstore" : " is being removed") +
                                  ", and its entry stays: " + why,
                              attaches ? "detach it, or run 'xlstore recover'"
                                       : "run this again: it goes on where this ended");
    }

    XenstoreWork& work_;
    ThingName name_;
    std::string json_;
    std::string usb_;   // the host's name of the device
    std::string back_;  // of the controller
    std::string port_;  // its node
};

}  // namespace

Task<Result<Done>> attach_to_port(XenstoreWork& work)
{
    XenstorePort operation(work);
    co_return co_await operation.attach();
}

Task<Result<Done>> detach_from_port(XenstoreWork& work)
{
    XenstorePort operation(work);
    co_return co_await operation.detach();
}

}  // namespace xlstore
