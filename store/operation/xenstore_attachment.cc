// SPDX-License-Identifier: MIT
// The fast lock is held from the look before the entry's commit to the end of the transaction, for
// at most XenstoreWork::kLockHeld.
#include "store/operation/xenstore_attachment.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "store/base/limits.hpp"
#include "store/base/random.hpp"
#include "store/classes/class_plan.hpp"
#include "store/classes/xenstore_device.hpp"
#include "store/core/domain.hpp"
#include "store/operation/hotplug.hpp"
#include "store/operation/nodes_fate.hpp"
#include "store/operation/xenstore_entry.hpp"
#include "store/operation/xenstore_removal.hpp"
#include "store/os/image_opener.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

using xenstore::Client;
using xenstore::DevicePaths;

constexpr std::string_view kAttachUnchanged = "nothing was changed";

class XenstoreAttachment {
public:
    explicit XenstoreAttachment(XenstoreWork& work) : work_(work), thing_(work.request.device_class)
    {}

    Task<Result<Done>> run()
    {
        auto ready = co_await prepare();
        if (!ready) co_return work_.of(std::move(ready).error(), thing_);
        auto client = co_await connect_to_xenstore(work_.store, work_.until);
        if (!client) co_return work_.of(std::move(client).error(), thing_);
        if (!has_script_) co_return co_await add(*client);
        auto slow = co_await work_.store.slow_lock(work_.domain.id, work_.domain.subject(),
                                                   work_.operation(), work_.until);
        if (!slow) co_return std::move(slow).error();
        work_.holds_slow_lock = true;
        auto done = co_await add(*client);
        if (!done) co_return done;
        co_return co_await connect_by_script(*client, *std::move(done));
    }

private:
    // What can be found out without a lock: is the image of a disk a device of the host?
    Task<Result<void>> prepare()
    {
        auto json = json_minify(work_.request.text, "thing", limits::thing_bytes_max);
        if (!json) co_return std::move(json).error();
        json_ = *std::move(json);
        // With any number: what is wrong is found before anything is asked.
        host_.scripts = work_.store.host().scripts;
        auto trial = complete(0);
        if (!trial) co_return std::move(trial).error();
        const auto path = json_get_string(json_, "pdev_path");
        const bool asks = thing_ == "disks" && path && path->starts_with("/") &&
                          json_get_string(json_, "format") == "raw" &&
                          !json_get_string(json_, "backend") &&
                          json_get_integer(json_, "backend_domid").value_or(0) == 0;
        if (asks) {
            auto kind = co_await ask_kind_of(*path);
            if (!kind) co_return std::move(kind).error();
            trial = complete(0);
            if (!trial) co_return std::move(trial).error();
        }
        has_script_ = script_of(trial->device) && runs_scripts(work_.store, work_.domain.id);
        co_return Result<void>();
    }

    Task<Result<void>> ask_kind_of(std::string path)
    {
        const auto wait = std::min(work_.until, Clock::now() + limits::image_open_wait);
        auto file = co_await open_image(work_.store.loop(), std::move(path), false, wait);
        if (!file) co_return std::move(file).error();
        struct stat status {};
        host_.block_device = fstat(file->get(), &status) == 0 && S_ISBLK(status.st_mode);
        co_return Result<void>();
    }

    // What is done under the fast lock.
    Task<Result<Done>> add(Client& client)
    {
        auto fast = co_await work_.store.fast_lock(work_.store.loop(), work_.domain.id,
                                                   work_.operation(), work_.until);
        if (!fast) co_return std::move(fast).error();
        const Deadline held = work_.held_until();
        auto free = co_await look_before(client, held);
        if (!free) co_return work_.of(std::move(free).error(), thing_);
        // xenstored works on the nodes while the entry is committed; they are there at the end of
        // its transaction alone, which comes behind that (R4).
        NodesAddition addition{begun_, requests_of_addition(work_.domain.domid, device_, begun_),
                               std::vector<xenstore::Reply>()};
        auto asking = client.ask(addition.requests, held);
        asking.start();
        ThingName name = name_;
        std::string json = json_;
        auto entry =
            co_await commit_xenstore_entry(work_, *fast, std::move(name), std::move(json), held);
        if (!entry) {
            (void)co_await asking.join();
            co_await abort_quietly(client, begun_, held);
            co_return work_.of(std::move(entry).error(), thing_);
        }
        name_ = entry->name;
        const std::function<Task<Result<Done>>()> rest = [&]() -> Task<Result<Done>> {
            return see_through(client, *fast, *entry, addition, asking, held);
        };
        const std::function<Error(const std::string&)> in_doubt =
            [this](const std::string& why) -> Error { return doubt(why); };
        co_return co_await behind_the_commit(rest, in_doubt);
    }

    // The nodes are there, and the entry: what is thrown, or goes wrong, takes nothing back by
    // itself.
    Task<Result<Done>> connect_by_script(Client& client, Done done)
    {
        std::optional<Error> failure;
        try {
            auto ran = co_await start_script(client);
            if (!ran)
                failure = std::move(ran).error();
            else
                done.evidence += *ran;
        } catch (...) {
            failure = caught();
        }
        if (!failure) co_return done;
        co_return co_await take_out_again(*std::move(failure));
    }

    Task<Result<std::string>> start_script(Client& client)
    {
        const auto script = script_of(device_);
        auto ready = co_await wait_for_back_end(work_.store, client, *script, work_.until);
        if (!ready) co_return std::move(ready).error();
        auto ran =
            co_await run_script(work_.store, client, *script, ScriptAction::add, work_.until);
        script_began_ = ran || ran.error().code != Errc::not_found;
        co_return ran;
    }

    // An attach that fails changes nothing (R16): what was attached is detached, as any caller
    // would.
    Task<Result<Done>> take_out_again(Error failure)
    {
        Request request{Request::Kind::detach, name_.device_class, name_.key, {}};
        XenstoreWork detach(work_.store, work_.domain, std::move(request), work_.until);
        detach.holds_slow_lock = true;
        detach.never_ran = !script_began_;
        Result<Done> taken = Error(Errc::no_memory, {});
        const bool untouched = Clock::now() >= work_.until;
        if (untouched)
            taken = Error(Errc::timeout, "there was no time left to take it out again");
        else
            taken = co_await detach_in_xenstore(detach);
        if (taken) {
            Error error(Errc::refused, failure.message + "; it was taken out again",
                        "nothing was changed; see what the script says: its log is below "
                        "/var/log/xen");
            co_return work_.of(std::move(error), thing_);
        }
        co_return work_.in_doubt(thing_ + " is in xenstore and not connected: " + failure.message +
                                     "; not taken out again: " + taken.error().message,
                                 // Its detach, once begun, has told the back end to close.
                                 untouched ? "detach it; or 'xlfsck -y' runs its script once more"
                                           : "detach it again, which goes on with that");
    }

    [[nodiscard]] std::optional<ScriptedDevice> script_of(const XenstoreDevice& device) const
    {
        const auto paths = xenstore::device_paths(work_.domain.domid, device);
        return scripted_device(paths.back, [&](std::string_view key) -> std::optional<std::string> {
            const auto found = std::ranges::find(device.back, key, &XenstoreKey::name);
            if (found == device.back.end()) return std::nullopt;
            return found->value;
        });
    }

    // Under the lock: the domain is the one that is meant, and the device is not there.
    Task<Result<void>> look_before(Client& client, Deadline held)
    {
        if (wants_number(work_.request.device_class, json_)) {
            auto same = co_await check_domain(client, work_.domain, held);
            if (!same) co_return same;
            auto next = co_await next_number(client, held);
            if (!next) co_return std::move(next).error();
            if (auto settled = settle_on(*next); !settled) co_return settled;  // above all there
            auto begun = co_await client.begin(held);
            if (!begun) co_return std::move(begun).error();
            begun_ = *begun;
            co_return Result<void>();
        }
        if (auto settled = settle_on(0); !settled) co_return settled;
        std::vector<xenstore::Request> looks;
        looks.push_back(xenstore::request::read(vm_path(work_.domain)));
        looks.push_back(xenstore::request::read(paths_.own));
        looks.push_back(xenstore::request::begin());
        auto replies = co_await client.ask(looks, held);
        if (!replies) co_return std::move(replies).error();
        if (auto refusal = first_refusal(looks, *replies)) co_return *std::move(refusal);
        std::optional<std::string> vm;
        if (replies->front().error == 0) vm = std::move(replies->front().value);
        if (auto same = judge_domain(work_.domain, vm); !same) co_return same;
        if ((*replies)[1].error == 0) co_return is_there();
        const auto begun = xenstore::number_in(replies->back().value);
        if (!begun || *begun == 0)
            co_return Error(Errc::io, "could not look into xenstore: what answers is no xenstored");
        begun_ = *begun;
        co_return Result<void>();
    }

    Task<Result<std::int64_t>> next_number(Client& client, Deadline held)
    {
        const auto path =
            xenstore::listing_path(work_.domain.domid, xenstore_kind(work_.request.device_class));
        auto there = co_await client.directory(path, 0, held);
        if (!there) co_return std::move(there).error();
        std::int64_t next = 0;
        for (const auto& name : there->value_or(std::vector<std::string>()))
            if (const auto number = xenstore::number_of(name))
                next = std::max<std::int64_t>(next, std::int64_t{*number} + 1);
        co_return next;
    }

    // What the device is, and what it is called.
    Result<void> settle_on(std::int64_t number)
    {
        auto completed = complete(number);
        if (!completed) return std::move(completed).error();
        json_ = std::move(completed->json);
        device_ = std::move(completed->device);
        auto name = name_of_attach(work_.request.device_class, json_);
        if (!name) return std::move(name).error();
        name_ = *std::move(name);
        if (!name_.key.empty()) thing_ = name_.text();
        paths_ = xenstore::device_paths(work_.domain.domid, device_);
        return {};
    }

    struct Completed {
        std::string json;
        XenstoreDevice device;
    };
    // The thing with what libxl chooses; `next` is the number for one that has none.
    Result<Completed> complete(std::int64_t next)
    {
        const std::string& device_class = work_.request.device_class;
        const auto traits = read_traits(work_.store.db(), work_.domain.id);
        auto json =
            with_libxl_choices(device_class, json_, traits.type, next, random_hex(), random_uuid());
        if (!json) return std::move(json).error();
        auto device = xenstore_device(device_class, *json, host_);
        if (!device) return std::move(device).error();
        return Completed{*std::move(json), *std::move(device)};
    }

    [[nodiscard]] Error is_there() const
    {
        return Error(Errc::exists, "cannot be added: xenstore has " + paths_.own,
                     std::string(kAttachUnchanged) + "; detach it first, or choose another");
    }

    using Asking = Task<Result<std::vector<xenstore::Reply>>>;
    Task<Result<Done>> see_through(Client& client, const FastLock& fast, CommittedEntry entry,
                                   NodesAddition addition, Asking& asking, Deadline held)
    {
        addition.replies = co_await asking.join();
        auto nodes =
            co_await add_nodes(client, work_.domain.domid, device_, std::move(addition), held);
        co_return co_await conclude(std::move(nodes), fast, std::move(entry));
    }

    Task<Result<Done>> conclude(NodesFate nodes, const FastLock& fast, CommittedEntry entry)
    {
        thing_ = name_.text();
        if (nodes.fate == NodesFate::unknown) {
            const auto there =
                co_await look_again(work_.store, work_.domain, paths_, work_.looked_until());
            if (!there) co_return doubt(nodes.why);
            nodes.fate = *there ? NodesFate::written : NodesFate::refused;
        }
        if (nodes.fate == NodesFate::written) {
            Done done{{}, "xenstore has " + paths_.own};
            co_return done;
        }
        Error error = nodes.fate == NodesFate::there
                          ? is_there()
                          : Error(Errc::refused, std::move(nodes.why),
                                  std::string(kAttachUnchanged) +
                                      (nodes.advice.empty() ? "" : "; " + nodes.advice));
        auto undone = co_await take_xenstore_entry_back(work_, fast, std::move(entry));
        if (!undone)
            error.advice = "nothing is in xenstore; the entry stays (" + undone.error().message +
                           "): detach it, or run 'xlstore recover'";
        co_return work_.of(std::move(error), thing_);
    }

    [[nodiscard]] Error doubt(const std::string& why) const
    {
        return work_.in_doubt(thing_ + " may be in xenstore, and its entry stays: " + why,
                              "look at " + paths_.own +
                                  " once xenstored answers; 'xlstore recover' "
                                  "then calls the entry stale if it is not there");
    }

    XenstoreWork& work_;
    std::string thing_;  // as messages name it: the class, and its key once that is known
    std::string json_;
    XenstoreHost host_;
    XenstoreDevice device_;
    DevicePaths paths_;
    ThingName name_;
    bool has_script_ = false;          // that this program runs
    bool script_began_ = false;        // then it has something to tidy up
    xenstore::Transaction begun_ = 0;  // with the look
};

}  // namespace

Task<Result<Done>> attach_in_xenstore(XenstoreWork& work)
{
    XenstoreAttachment attachment(work);
    co_return co_await attachment.run();
}

}  // namespace xlstore
