// SPDX-License-Identifier: MIT
// The fast lock is held from the look before the entry's commit to the end of the transaction, for
// at most XenstoreWork::kLockHeld.
#include "store/operation/xenstore_attachment.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "store/base/limits.hpp"
#include "store/base/random.hpp"
#include "store/classes/class_plan.hpp"
#include "store/classes/xenstore_device.hpp"
#include "store/core/domain.hpp"
#include "store/operation/edit.hpp"
#include "store/operation/nodes_fate.hpp"
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
        auto fast = co_await work_.store.fast_lock(work_.store.loop(), work_.domain.id,
                                                   work_.operation(), work_.until);
        if (!fast) co_return std::move(fast).error();
        const Deadline held = work_.held_until();
        auto free = co_await look_before(*client, held);
        if (!free) co_return work_.of(std::move(free).error(), thing_);
        auto entry = co_await commit_entry(*fast, held);
        if (!entry) co_return work_.of(std::move(entry).error(), thing_);
        co_return co_await see_through(*client, *fast, held);
    }

private:
    // What can be found out without a lock: is the image of a disk a device of the host?
    Task<Result<void>> prepare()
    {
        auto json = json_minify(work_.request.text, "thing", limits::thing_bytes_max);
        if (!json) co_return std::move(json).error();
        json_ = *std::move(json);
        // With any number: what is wrong is found before anything is asked.
        if (auto trial = complete(0); !trial) co_return std::move(trial).error();
        const auto path = json_get_string(json_, "pdev_path");
        const bool asks = thing_ == "disks" && path && path->starts_with("/") &&
                          json_get_string(json_, "format") == "raw" &&
                          !json_get_string(json_, "backend") &&
                          json_get_integer(json_, "backend_domid").value_or(0) == 0;
        if (!asks) co_return Result<void>();
        const auto wait = std::min(work_.until, Clock::now() + limits::image_open_wait);
        auto file = co_await open_image(work_.store.loop(), *path, false, wait);
        if (!file) co_return std::move(file).error();
        struct stat status {};
        host_.block_device = fstat(file->get(), &status) == 0 && S_ISBLK(status.st_mode);
        co_return Result<void>();
    }

    // Under the lock: the domain is the one that is meant, and the device is not there.
    Task<Result<void>> look_before(Client& client, Deadline held)
    {
        if (wants_number(work_.request.device_class, json_)) {
            auto same = co_await check_domain(client, work_.domain, held);
            if (!same) co_return same;
            auto next = co_await next_number(client, held);
            if (!next) co_return std::move(next).error();
            co_return settle_on(*next);  // above all that are there
        }
        if (auto settled = settle_on(0); !settled) co_return settled;
        std::vector<xenstore::Request> looks;
        looks.push_back(xenstore::request::read(vm_path(work_.domain)));
        looks.push_back(xenstore::request::read(paths_.own));
        auto replies = co_await client.ask(looks, held);
        if (!replies) co_return std::move(replies).error();
        if (auto refusal = first_refusal(looks, *replies)) co_return *std::move(refusal);
        std::optional<std::string> vm;
        if (replies->front().error == 0) vm = std::move(replies->front().value);
        if (auto same = judge_domain(work_.domain, vm); !same) co_return same;
        if (replies->back().error == 0) co_return is_there();
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

    Task<Result<void>> commit_entry(const FastLock& fast, Deadline held)
    {
        Store& store = work_.store;
        co_return co_await store.with_held_fast_lock(
            store.loop(), fast, work_.operation(), held,
            [this, &store](const FastHold& hold) -> Result<void> {
                if (auto edit = begin_edit(store, hold, 0); !edit) return edit.error();
                if (!name_.key.empty()) before_ = read_thing(store.db(), hold.domain(), name_);
                if (auto put = put_thing(store, hold, name_.device_class, json_, "attach"); !put)
                    return put;
                if (!name_.key.empty()) return {};
                auto row = store.db()
                               .prepare(
                                   "SELECT key FROM thing WHERE domain = ? AND class = ? ORDER BY "
                                   "id DESC LIMIT 1")
                               .bind(value_of(hold.domain()))
                               .bind(name_.device_class);
                if (row.step()) name_.key = row.text(0);
                return {};
            });
    }

    // From the entry's commit on: what is thrown proves nothing.
    Task<Result<Done>> see_through(Client& client, const FastLock& fast, Deadline held)
    {
        std::optional<Error> failure;
        Result<Done> ended = Error(Errc::in_doubt, {});
        try {
            auto nodes = co_await add_nodes(client, work_.domain.domid, device_, held);
            ended = co_await conclude(std::move(nodes), fast);
        } catch (...) {
            failure = caught();
        }
        if (failure) co_return doubt(failure->message);
        co_return ended;
    }

    Task<Result<Done>> conclude(NodesFate nodes, const FastLock& fast)
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
        auto undone = co_await take_entry_back(fast);
        if (!undone)
            error.advice = "nothing is in xenstore; the entry stays (" + undone.error().message +
                           "): detach it, or run 'xlstore recover'";
        co_return work_.of(std::move(error), thing_);
    }

    Task<Result<void>> take_entry_back(const FastLock& fast)
    {
        Store& store = work_.store;
        co_return co_await store.with_held_fast_lock(
            store.loop(), fast, work_.operation(), settle_deadline(work_.until),
            [this, &store](const FastHold& hold) -> Result<void> {
                if (auto edit = begin_edit(store, hold, 0); !edit) return edit.error();
                if (!before_) return remove_thing(store, hold, name_, "attach taken back");
                store.db()
                    .prepare("UPDATE thing SET state = ?, json = ? WHERE id = ?")
                    .bind(before_->state)
                    .bind(before_->json)
                    .bind(before_->id)
                    .run();
                return {};
            },
            Room::reserve);
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
    std::optional<ThingRow> before_;  // the entry that was there
};

}  // namespace

Task<Result<Done>> attach_in_xenstore(XenstoreWork& work)
{
    XenstoreAttachment attachment(work);
    co_return co_await attachment.run();
}

}  // namespace xlstore
