// SPDX-License-Identifier: MIT
// Two holds of the fast lock, as a detach has them (xenstore_removal.cc), around all devices at
// once: the requests for them go out together. What a dead client's attach has still put there is
// seen by the look of the second hold, or fails at what that one writes.
#include "store/lifecycle/device_ending.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "store/classes/hotplug_script.hpp"
#include "store/classes/xenstore_device.hpp"
#include "store/core/domain.hpp"
#include "store/operation/grace.hpp"
#include "store/operation/host_xenstore.hpp"
#include "store/operation/hotplug.hpp"
#include "store/operation/nodes_fate.hpp"

namespace xlstore {

namespace {

using xenstore::Client;
using Requests = std::vector<xenstore::Request>;

constexpr auto kEndWait = std::chrono::seconds(10);  // both are libxl's own
constexpr auto kEndWaitOfQemu = std::chrono::seconds(2);
constexpr auto kForTheRest = std::chrono::seconds(2);  // of the deadline, behind the wait
constexpr auto kEndFirstPoll = std::chrono::milliseconds(5);
constexpr auto kEndLastPoll = std::chrono::milliseconds(100);
// States of xenbus; in the first one a toolstack left it, and no driver has taken it up.
constexpr std::string_view kStateUntaken = "1";
constexpr std::string_view kStateClosing = "5";
constexpr std::string_view kStateClosed = "6";
// Read of libxl's own node of a device: where its back end is, and what tells its script.
constexpr std::array<const char*, 4> kNoted = {"backend", "script", "type", "gatewaydev"};

struct DeviceEnding {
    std::string name;  // "nics/0"
    std::int64_t number = 0;
    xenstore::DevicePaths paths;
    bool has_states = true;  // a console has none
    bool there = false;
    bool closed = true;  // or has nothing that could close
    Deadline end = {};   // of the wait for it
    std::optional<ScriptedDevice> script = {};
};

// The back ends that libxl knows to be QEMU's.
bool is_of_qemu(std::string_view back)
{
    return std::ranges::any_of(std::array{"/qdisk/", "/vfb/", "/vkbd/"}, [&](const char* kind) {
        return back.find(kind) != std::string_view::npos;
    });
}

class DevicesEnding {
public:
    DevicesEnding(Store& store, const DomainRow& domain, Deadline until)
        : store_(store), domain_(domain), until_(until)
    {}

    Task<Result<std::string>> run()
    {
        if (!store_.host().runs_scripts || !has_host_xenstore()) co_return std::string();
        list();
        if (devices_.empty()) co_return std::string();
        auto client = co_await connect_to_xenstore(store_, xenstore_deadline(until_));
        if (!client) co_return std::move(client).error();
        auto closing = co_await ask_to_close(*client);
        if (!closing) co_return std::move(closing).error();
        if (!*closing) co_return co_await leave_to_another(*client);
        auto waited = co_await wait_until_closed(*client);
        if (!waited) co_return std::move(waited).error();
        auto ended = co_await let_scripts_end(store_, domain_, half_of_what_is_left());
        if (!ended) co_return std::move(ended).error();
        co_await run_their_scripts(*client);
        auto gone = co_await take_out(*client);
        if (!gone) co_return std::move(gone).error();
        co_return said_;
    }

private:
    void list()
    {
        for (const auto& thing : read_things(store_.db(), domain_.id)) {
            const auto kind = xenstore_kind(thing.name.device_class);
            if (thing.primary != "xenstore" || thing.state == "stale" || kind.empty()) continue;
            const auto number = xenstore_number(thing.name.device_class, thing.json);
            if (!number) continue;  // without one it cannot have been attached
            DeviceEnding device{thing.name.text(), *number,
                          xenstore::device_paths(domain_.domid, kind, *number)};
            device.has_states = thing.name.device_class != "channels";
            devices_.push_back(std::move(device));
        }
    }

    Task<Result<FastLock>> lock()
    {
        co_return co_await store_.fast_lock(store_.loop(), domain_.id, "destroy",
                                            probe_deadline(until_));
    }

    // First hold. False: this domain is not, or no more, the one that xenstore has.
    Task<Result<bool>> ask_to_close(Client& client)
    {
        auto fast = co_await lock();
        if (!fast) co_return std::move(fast).error();
        const Deadline held = xenstore_deadline(probe_deadline(until_));
        auto same = co_await check_domain(client, domain_, held);
        if (!same && same.error().code == Errc::refused) co_return false;
        if (!same) co_return std::move(same).error();
        auto looked = co_await look(client, held);
        if (!looked) co_return std::move(looked).error();
        const XenstoreChange change = [this](Client& c, xenstore::Transaction in, Deadline end) {
            return close_all(c, in, end);
        };
        auto closing = co_await in_xenstore_transaction(client, change, held);
        if (!closing) co_return std::move(closing).error();
        co_return true;
    }

    // Xen has not the domain any more, or another one of its number, whose devices stay as they
    // are: what a script of this domain's wrote late belongs to no domain, and goes.
    Task<Result<std::string>> leave_to_another(Client& client)
    {
        auto ended = co_await let_scripts_end(store_, domain_, half_of_what_is_left());
        if (!ended) co_return std::move(ended).error();
        for (const auto& device : devices_) {
            auto late = co_await remove_late_back_end(client, device.paths, probe_deadline(until_));
            if (!late) co_return std::move(late).error();
        }
        co_return std::string();
    }

    // What libxl's nodes say of each.
    Task<Result<void>> look(Client& client, Deadline held)
    {
        Requests requests;
        for (const auto& device : devices_) {
            requests.push_back(xenstore::request::read(device.paths.own));
            for (const auto* key : kNoted)
                requests.push_back(xenstore::request::read(device.paths.own + "/" + key));
        }
        auto replies = co_await client.ask(requests, held);
        if (!replies) co_return std::move(replies).error();
        if (auto refusal = first_refusal(requests, *replies)) co_return *std::move(refusal);
        const bool scripts = runs_scripts(store_, domain_.id);
        for (std::size_t i = 0; i < devices_.size(); ++i) {
            const auto* of = &(*replies)[i * (1 + kNoted.size())];
            devices_[i].there = of->error == 0;
            std::map<std::string, std::string, std::less<>> noted;
            for (std::size_t key = 0; key < kNoted.size(); ++key)
                if (of[1 + key].error == 0) noted[kNoted.at(key)] = of[1 + key].value;
            // A value that is no path of that very device's back end is not followed.
            const std::string& back = noted["backend"];
            if (!xenstore::is_back_end_of(back, domain_.domid, devices_[i].number)) continue;
            devices_[i].paths.back = back;
            if (!scripts) continue;
            const NodeValue value = [&](std::string_view key) -> std::optional<std::string> {
                const auto found = noted.find(key);
                if (found == noted.end()) return std::nullopt;
                return found->second;
            };
            devices_[i].script = scripted_device(devices_[i].paths.back, value);
        }
        co_return Result<void>();
    }

    [[nodiscard]] Deadline end_of_wait(const DeviceEnding& device) const
    {
        const auto now = Clock::now();
        if (!is_of_qemu(device.paths.back)) return std::min(until_ - kForTheRest, now + kEndWait);
        // A QEMU of the row's is dead by now; another one may live as long as Xen has the domain.
        return domain_.registration ? now : std::min(until_ - kForTheRest, now + kEndWaitOfQemu);
    }

    // The front end goes, so that its back end lets go without the guest.
    Task<Result<TransactionEnd>> close_all(Client& client, xenstore::Transaction in, Deadline held)
    {
        Requests looks;
        std::vector<DeviceEnding*> asked;
        for (auto& device : devices_) {
            if (!device.there || device.paths.back.empty() || !device.has_states) continue;
            looks.push_back(xenstore::request::read(device.paths.back + "/state", in));
            asked.push_back(&device);
        }
        if (asked.empty()) co_return TransactionEnd::abort;
        auto states = co_await client.ask(looks, held);
        if (!states) co_return std::move(states).error();
        if (auto refusal = first_refusal(looks, *states)) co_return *std::move(refusal);
        Requests requests;
        for (std::size_t i = 0; i < asked.size(); ++i) {
            DeviceEnding& device = *asked[i];
            const auto& state = (*states)[i];
            requests.push_back(xenstore::request::remove(device.paths.front, in));
            if (state.error != 0) continue;
            requests.push_back(xenstore::request::write(device.paths.back + "/online", "0", in));
            device.closed = state.value == kStateClosed;
            if (device.closed) continue;
            device.end = state.value == kStateUntaken ? Clock::now() : end_of_wait(device);
            requests.push_back(xenstore::request::write(device.paths.back + "/state",
                                                        std::string(kStateClosing), in));
        }
        auto replies = co_await client.ask(requests, held);
        if (!replies) co_return std::move(replies).error();
        if (auto refusal = first_refusal(requests, *replies)) co_return *std::move(refusal);
        co_return TransactionEnd::commit;
    }

    Task<Result<void>> wait_until_closed(Client& client)
    {
        for (auto pause = kEndFirstPoll;; pause = std::min(2 * pause, kEndLastPoll)) {
            Requests looks;
            std::vector<DeviceEnding*> waited;
            for (auto& device : devices_) {
                if (device.closed || Clock::now() >= device.end) continue;
                looks.push_back(xenstore::request::read(device.paths.back + "/state"));
                waited.push_back(&device);
            }
            if (waited.empty()) co_return Result<void>();
            auto states = co_await client.ask(looks, probe_deadline(until_));
            if (!states) co_return std::move(states).error();
            if (auto refusal = first_refusal(looks, *states)) co_return *std::move(refusal);
            for (std::size_t i = 0; i < waited.size(); ++i)
                waited[i]->closed = (*states)[i].error != 0 || (*states)[i].value == kStateClosed;
            (void)co_await store_.loop().sleep(Clock::now() + pause);
        }
    }

    // A script that fails does not keep a device, as a detach has it.
    Task<void> run_their_scripts(Client& client)
    {
        for (auto& device : devices_) {
            if (!device.script || !device.closed) continue;
            Result<std::string> ran =
                Error(Errc::timeout, "there was no time left for its hotplug script");
            if (Clock::now() < until_)
                ran = co_await run_script(store_, client, *device.script, ScriptAction::remove,
                                          half_of_what_is_left());
            if (!ran) said_ += "; " + device.name + ": " + ran.error().message;
        }
    }

    // A script that hangs is killed in time for the nodes to go.
    [[nodiscard]] Deadline half_of_what_is_left() const
    {
        const auto now = Clock::now();
        return now + (until_ - now) / 2;
    }

    // Second hold: the nodes go.
    Task<Result<void>> take_out(Client& client)
    {
        auto fast = co_await lock();
        if (!fast) co_return std::move(fast).error();
        const Deadline held = xenstore_deadline(probe_deadline(until_));
        auto looked = co_await look(client, held);
        if (!looked) co_return looked;
        for (const auto& device : devices_) {
            if (!device.closed)
                said_ += "; the back end of " + device.name + " had not closed, and was taken out";
            if (!device.there) {
                auto sure = co_await make_absence_sure(client, device.paths, held);
                if (!sure) co_return sure;
                continue;
            }
            auto nodes = co_await remove_nodes(client, device.paths, held);
            if (nodes.fate == NodesFate::written) continue;
            co_return Error(Errc::io, device.name + " may be in xenstore: " + nodes.why,
                            std::move(nodes.advice));
        }
        co_return Result<void>();
    }

    Store& store_;
    const DomainRow& domain_;
    const Deadline until_;
    std::vector<DeviceEnding> devices_;
    std::string said_;
};

}  // namespace

Task<Result<std::string>> end_devices(Store& store, DomainRow domain, Deadline until)
{
    DevicesEnding ending(store, domain, until);
    co_return co_await ending.run();
}

}  // namespace xlstore
