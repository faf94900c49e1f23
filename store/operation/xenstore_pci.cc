// SPDX-License-Identifier: MIT
// XenstorePci is one operation; its two halves share how the device is found, how the back end is
// waited for, and how the hook is called. What is thrown behind the entry's commit proves nothing.
#include "store/operation/xenstore_pci.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/classes/libxl_defaults.hpp"
#include "store/core/domain.hpp"
#include "store/operation/other_primary.hpp"
#include "store/operation/pci_nodes.hpp"
#include "store/operation/pci_owner.hpp"
#include "store/operation/xenstore_entry.hpp"
#include "store/os/host_pci.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

using xenstore::Client;

constexpr auto kPciWait = std::chrono::seconds(10);  // libxl's own
constexpr auto kFirstPciPoll = std::chrono::milliseconds(5);
constexpr auto kLastPciPoll = std::chrono::milliseconds(100);
constexpr std::string_view kPciConnected = "4";
constexpr std::size_t kPciStateShown = 40;

class XenstorePci {
public:
    explicit XenstorePci(XenstoreWork& work)
        : work_(work), name_{work.request.device_class, work.request.key}
    {}

    Task<Result<Done>> attach()
    {
        auto ready = prepare();
        if (!ready) co_return of(std::move(ready).error());
        auto slow = co_await slow_lock();
        if (!slow) co_return std::move(slow).error();
        auto client = co_await connect_to_xenstore(work_.store, work_.until);
        if (!client) co_return of(std::move(client).error());
        auto connected = co_await wait_until_connected(*client);
        if (!connected) co_return of(std::move(connected).error());
        auto fast = co_await fast_lock();
        if (!fast) co_return std::move(fast).error();
        const Deadline held = work_.held_until();
        auto free = co_await look_before(*client, held);
        if (!free) co_return of(std::move(free).error());
        ThingName name = name_;
        std::string json = json_;
        auto entry =
            co_await commit_xenstore_entry(work_, *fast, std::move(name), std::move(json), held);
        if (!entry) co_return of(std::move(entry).error());
        const std::function<Task<Result<Done>>()> rest = [&]() -> Task<Result<Done>> {
            return give(*client, *fast, *entry, held);
        };
        co_return co_await guarded(rest);
    }

    Task<Result<Done>> detach()
    {
        if (auto there = find_entry(); !there) co_return of(std::move(there).error());
        if (!work_.store.host().pci) co_return pci_hook_absent(work_.domain, name_);
        auto slow = co_await slow_lock();
        if (!slow) co_return std::move(slow).error();
        auto client = co_await connect_to_xenstore(work_.store, work_.until);
        if (!client) co_return of(std::move(client).error());
        auto connected = co_await wait_until_connected(*client);
        if (!connected) co_return of(std::move(connected).error());
        auto entry = co_await ask_to_let_go(*client);
        if (!entry) co_return std::move(entry).error();
        const std::function<Task<Result<Done>>()> rest = [&]() -> Task<Result<Done>> {
            return take(*client, *entry);
        };
        co_return co_await guarded(rest);
    }

private:
    [[nodiscard]] Error of(Error error) const { return work_.of(std::move(error), name_.text()); }

    // Its number. Sets json_ and device_.
    Result<std::int64_t> find_entry()
    {
        auto entry = read_thing(work_.store.db(), work_.domain.id, name_);
        if (!entry || entry->primary != "xenstore") return no_entry_of_xenstore();
        json_ = std::move(entry->json);
        const auto device = pci_address_of(json_);
        if (!device)
            return Error(Errc::refused, "its entry has no address",
                         "nothing was changed; run xlfsck, which finds it by its name");
        device_ = *device;
        return entry->id;
    }
    Task<Result<SlowHold>> slow_lock()
    {
        co_return co_await work_.store.slow_lock(work_.domain.id, work_.domain.subject(),
                                                 work_.operation() + "/" + name_.key, work_.until);
    }
    Task<Result<FastLock>> fast_lock()
    {
        co_return co_await work_.store.fast_lock(work_.store.loop(), work_.domain.id,
                                                 work_.operation() + "/" + name_.key, work_.until);
    }

    Task<Result<Done>> guarded(const std::function<Task<Result<Done>>()>& rest)
    {
        const std::function<Error(const std::string&)> in_doubt =
            [this](const std::string& why) -> Error { return doubt(why); };
        co_return co_await behind_the_commit(rest, in_doubt);
    }

    // What can be found out without a lock.
    Result<void> prepare()
    {
        auto json = json_minify(work_.request.text, "thing", limits::thing_bytes_max);
        if (!json) return std::move(json).error();
        auto draft = draft_hot_plug(work_.request.device_class, *json);  // checks the element
        if (!draft) return std::move(draft).error();
        name_ = draft->thing;
        json_ = *draft->image_after;
        device_ = *pci_address_of(json_);
        if (!work_.store.host().pci) return pci_hook_absent(work_.domain, name_);
        return check_assignable(work_.store.host().sysfs, device_.text());
    }

    // Only a back end that there is already is waited for, and only a PV domain's: it is configured
    // anew for each device.
    Task<Result<void>> wait_until_connected(Client& client)
    {
        if (read_traits(work_.store.db(), work_.domain.id).type != DomainType::pv)
            co_return Result<void>();
        const Deadline end = std::min(work_.until, Clock::now() + kPciWait);
        for (auto pause = kFirstPciPoll;; pause = std::min(2 * pause, kLastPciPoll)) {
            auto list =
                co_await read_pci_list(client, work_.domain.domid, 0, probe_deadline(work_.until));
            if (!list) co_return std::move(list).error();
            if (!list->is_there || list->state == kPciConnected) co_return Result<void>();
            if (Clock::now() >= end)
                co_return Error(
                    Errc::refused,
                    "the guest's pci back end is in state " +
                        json_shown(plain_text(list->state, kPciStateShown)) + ", not 4 (connected)",
                    "nothing was changed; run this again once the guest has taken or let go of "
                    "the device before it");
            (void)co_await work_.store.loop().sleep(std::min(end, Clock::now() + pause));
        }
    }

    Task<Result<void>> look_before(Client& client, Deadline held)
    {
        auto same = co_await check_domain(client, work_.domain, held);
        if (!same) co_return same;
        auto list = co_await read_pci_list(client, work_.domain.domid, 0, held);
        if (!list) co_return std::move(list).error();
        if (list->index_of(device_))
            co_return Error(
                Errc::exists,
                "cannot be added: it is in " + xenstore::pci_list_path(work_.domain.domid),
                "nothing was changed; detach it first");
        co_return Result<void>();
    }

    // Owner, hypervisor, list; undone in the other order.
    Task<Result<Done>> give(Client& client, const FastLock& fast, CommittedEntry entry,
                            Deadline held)
    {
        auto owned =
            co_await take_pci_device(work_.store.loop(), device_, work_.domain.domid, held);
        if (!owned) co_return co_await take_back(fast, std::move(entry), std::move(owned).error());
        auto assigned = call_pci_hook(work_.store, work_.domain, true, device_.text(), json_);
        if (!assigned)
            co_return co_await free_again(fast, std::move(entry), std::move(assigned).error());
        std::string json = json_;
        auto fate = co_await list_pci_device(client, work_.domain, device_, std::move(json), held);
        if (fate.fate == NodesFate::written || fate.fate == NodesFate::there) {
            Done done{{}, "it is in " + xenstore::pci_list_path(work_.domain.domid)};
            co_return done;
        }
        if (fate.fate == NodesFate::unknown) co_return doubt(fate.why);
        auto taken = call_pci_hook(work_.store, work_.domain, false, device_.text(), json_);
        if (!taken)
            co_return doubt(fate.why +
                            "; and the hypervisor's part was not undone: " + taken.error().message);
        Error error(Errc::refused, std::move(fate.why), std::move(fate.advice));
        co_return co_await free_again(fast, std::move(entry), std::move(error));
    }

    Task<Result<Done>> free_again(const FastLock& fast, CommittedEntry entry, Error error)
    {
        auto freed = co_await free_pci_device(work_.store.loop(), device_, work_.domain.domid,
                                              work_.looked_until());
        if (!freed) co_return doubt(error.message + "; " + freed.error().message);
        co_return co_await take_back(fast, std::move(entry), std::move(error));
    }

    Task<Result<Done>> take_back(const FastLock& fast, CommittedEntry entry, Error error)
    {
        auto undone = co_await take_xenstore_entry_back(work_, fast, std::move(entry));
        if (!undone) co_return doubt(error.message + "; " + undone.error().message);
        error.code = Errc::refused;
        error.advice = "nothing was changed" + (error.advice.empty() ? "" : "; " + error.advice);
        co_return of(std::move(error));
    }

    // First hold: the entry says 'removing', then the back end is asked. The entry's number.
    Task<Result<std::int64_t>> ask_to_let_go(Client& client)
    {
        auto fast = co_await fast_lock();
        if (!fast) co_return std::move(fast).error();
        const Deadline held = work_.held_until();
        auto same = co_await check_domain(client, work_.domain, held);
        if (!same) co_return of(std::move(same).error());
        auto entry = find_entry();  // another process may have removed it, and put it anew
        if (!entry) co_return of(std::move(entry).error());
        auto marked = co_await mark_xenstore_entry(work_, *fast, *entry, held);
        if (!marked) co_return of(std::move(marked).error());
        auto fate = co_await close_pci_device(client, work_.domain.domid, device_, held);
        if (fate.fate == NodesFate::written || fate.fate == NodesFate::there) co_return entry;
        co_return doubt(fate.why);
    }

    // Second hold: the list, the hypervisor, the owner; then the entry (R5).
    Task<Result<Done>> take(Client& client, std::int64_t entry)
    {
        auto let_go = co_await wait_until_connected(client);
        if (!let_go)
            co_return work_.in_doubt(
                name_.text() + ": asked, waiting for the guest: " + let_go.error().message,
                "the entry stays, as 'removing'; run this again once the guest has let go");
        auto fast = co_await fast_lock();
        if (!fast) co_return doubt(fast.error().message);
        const auto now = read_thing(work_.store.db(), work_.domain.id, name_);
        if (!now || now->id != entry) {
            Done done{{}, "another process has removed it"};
            co_return done;
        }
        auto fate =
            co_await unlist_pci_device(client, work_.domain.domid, device_, work_.looked_until());
        if (fate.fate != NodesFate::written && fate.fate != NodesFate::there)
            co_return doubt(fate.why);
        auto taken = call_pci_hook(work_.store, work_.domain, false, device_.text(), json_);
        if (!taken) co_return doubt("the hypervisor's part was not done: " + taken.error().message);
        auto freed = co_await free_pci_device(work_.store.loop(), device_, work_.domain.domid,
                                              work_.looked_until());
        if (!freed) co_return doubt(freed.error().message);
        ThingName name = name_;
        auto removed = co_await remove_xenstore_entry(work_, *fast, std::move(name));
        if (!removed) co_return doubt("it is out of the list, and " + removed.error().message);
        Done done{{}, "it is in " + xenstore::pci_list_path(work_.domain.domid) + " no more"};
        co_return done;
    }

    [[nodiscard]] Error doubt(const std::string& why) const
    {
        const bool attaches = work_.request.kind == Request::Kind::attach;
        return work_.in_doubt(name_.text() +
                                  (attaches ? " may be the domain's" : " is being removed") +
                                  ", and its entry stays: " + why,
                              attaches ? "detach it, which takes back what there is of it"
                                       : "run this again: it goes on where this ended");
    }

    XenstoreWork& work_;
    ThingName name_;
    std::string json_;
    PciAddress device_;
};

}  // namespace

Task<Result<Done>> attach_pci_in_xenstore(XenstoreWork& work)
{
    XenstorePci operation(work);
    co_return co_await operation.attach();
}

Task<Result<Done>> detach_pci_in_xenstore(XenstoreWork& work)
{
    XenstorePci operation(work);
    co_return co_await operation.detach();
}

}  // namespace xlstore
