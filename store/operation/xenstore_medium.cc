// SPDX-License-Identifier: MIT
// Under the fast lock, in this order:
//
//   1. the drive is there: its entry, its nodes, and a back end that opens another image
//   2. commit the entry with the new medium (R4)
//   3. write "params" of the back end and of libxl's copy, in one transaction
//   4. refused with proof: the entry is put back; not known: in doubt, and recovery looks there
#include "store/operation/xenstore_medium.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/classes/xenstore_device.hpp"
#include "store/core/domain.hpp"
#include "store/operation/cd_nodes.hpp"
#include "store/operation/nodes_fate.hpp"
#include "store/operation/xenstore_entry.hpp"
#include "store/os/image_opener.hpp"
#include "store/text/json_text.hpp"
#include "store/text/raw_bytes.hpp"

namespace xlstore {

namespace {

using xenstore::Client;

class XenstoreMedium {
public:
    explicit XenstoreMedium(XenstoreWork& work)
        : work_(work), name_{work.request.device_class, work.request.key}
    {}

    Task<Result<Done>> run()
    {
        auto ready = co_await prepare();
        if (!ready) co_return work_.of(std::move(ready).error(), name_.text());
        auto client = co_await connect_to_xenstore(work_.store, work_.until);
        if (!client) co_return work_.of(std::move(client).error(), name_.text());
        auto fast = co_await work_.store.fast_lock(
            work_.store.loop(), work_.domain.id, work_.operation() + "/" + name_.key, work_.until);
        if (!fast) co_return std::move(fast).error();
        const Deadline held = work_.held_until();
        auto found = co_await look(*client, held);
        if (!found) co_return work_.of(std::move(found).error(), name_.text());
        ThingName name = name_;
        std::string image = image_;
        auto entry =
            co_await commit_xenstore_entry(work_, *fast, std::move(name), std::move(image), held);
        if (!entry) co_return work_.of(std::move(entry).error(), name_.text());
        const std::function<Task<Result<Done>>()> rest = [&]() -> Task<Result<Done>> {
            return see_through(*client, *fast, *entry, held);
        };
        const std::function<Error(const std::string&)> in_doubt =
            [this](const std::string& why) -> Error { return doubt(why); };
        co_return co_await behind_the_commit(rest, in_doubt);
    }

private:
    // The drive as its entry has it: asked before xenstored is, and again under the lock.
    [[nodiscard]] Result<ThingRow> drive() const
    {
        auto entry = read_thing(work_.store.db(), work_.domain.id, name_);
        if (!entry || entry->primary != "xenstore") return no_entry_of_xenstore();
        if (json_get_integer(entry->json, "is_cdrom").value_or(0) == 0)
            return Error(Errc::refused, "it is no CD drive",
                         "nothing was changed; detach it, and attach it with the other image");
        return *std::move(entry);
    }

    // What is wrong with the request, or an image that cannot be opened, is found out before
    // anything is changed.
    Task<Result<void>> prepare()
    {
        if (auto there = drive(); !there) co_return std::move(there).error();
        if (work_.request.kind != Request::Kind::insert) co_return Result<void>();
        const std::string& file = work_.request.text;
        if (!is_utf8(file) || file.find('\0') != std::string::npos || !file.starts_with('/'))
            co_return Error(Errc::invalid, json_shown(file) + " is no absolute path in UTF-8",
                            "nothing was changed; name the image by its absolute path");
        std::string path = file;
        const auto wait = std::min(work_.until, Clock::now() + limits::image_open_wait);
        auto opened = co_await open_image(work_.store.loop(), std::move(path), false, wait);
        if (!opened) co_return std::move(opened).error();
        co_return Result<void>();
    }

    // Under the lock: the domain is the one that is meant, it has the drive, and xenstore too.
    Task<Result<void>> look(Client& client, Deadline held)
    {
        auto same = co_await check_domain(client, work_.domain, held);
        if (!same) co_return same;
        auto entry = drive();
        if (!entry) co_return std::move(entry).error();
        if (entry->state != "present")
            co_return Error(Errc::refused, "its entry is " + entry->state + ", not present",
                            "nothing was changed; attach the drive anew, or see xlfsck");
        auto number = xenstore_number(name_.device_class, entry->json);
        if (!number) co_return std::move(number).error();
        auto nodes = co_await find_cd_nodes(work_.store.loop(), work_.domain.domid,
                                            "ide-" + std::to_string(*number), held);
        if (!nodes) co_return std::move(nodes).error();
        if (!*nodes)
            co_return Error(Errc::refused, "xenstore has no such drive",
                            "nothing was changed; run xlfsck, which calls its entry stale");
        nodes_ = **std::move(nodes);
        const bool inserts = work_.request.kind == Request::Kind::insert;
        image_ = inserts ? with_medium(entry->json, work_.request.text, "raw")
                         : with_medium(entry->json, "", "empty");
        params_ = cd_params(nodes_.kind, image_);
        co_return Result<void>();
    }

    Task<Result<Done>> see_through(Client& client, const FastLock& fast, CommittedEntry entry,
                                   Deadline held)
    {
        auto fate = co_await write_params(client, held);
        co_return co_await conclude(std::move(fate), fast, std::move(entry));
    }

    Task<NodesFate> write_params(Client& client, Deadline held)
    {
        for (;;) {
            auto in = co_await client.begin(held);
            if (!in) co_return NodesFate(NodesFate::refused, std::move(in).error());
            std::vector<xenstore::Request> requests;
            for (const auto* device : {&nodes_.backend, &nodes_.libxl})
                requests.push_back(xenstore::request::read(*device, *in));
            for (const auto* device : {&nodes_.backend, &nodes_.libxl})
                requests.push_back(xenstore::request::write(*device + "/params", params_, *in));
            auto replies = co_await client.ask(requests, held);
            if (!replies) co_return NodesFate(NodesFate::refused, std::move(replies).error());
            auto refusal = first_refusal(requests, *replies);
            const bool gone = (*replies)[0].error != 0 || (*replies)[1].error != 0;
            if (refusal || gone) {
                co_await abort_quietly(client, *in, held);
                if (refusal) co_return NodesFate(NodesFate::refused, *std::move(refusal));
                co_return NodesFate(NodesFate::refused, "xenstore has the drive no longer");
            }
            auto fate = co_await commit_nodes(client, *in, held);
            if (fate) co_return *std::move(fate);
        }
    }

    Task<Result<Done>> conclude(NodesFate fate, const FastLock& fast, CommittedEntry entry)
    {
        if (fate.fate == NodesFate::written) {
            Done done{{}, nodes_.backend + "/params is " + json_shown(params_)};
            co_return done;
        }
        if (fate.fate == NodesFate::unknown) co_return doubt(fate.why);
        Error error(Errc::refused, std::move(fate.why),
                    "nothing was changed" + (fate.advice.empty() ? "" : "; " + fate.advice));
        auto undone = co_await take_xenstore_entry_back(work_, fast, std::move(entry));
        if (!undone) co_return doubt(error.message + "; " + undone.error().message);
        co_return work_.of(std::move(error), name_.text());
    }

    [[nodiscard]] Error doubt(const std::string& why) const
    {
        return work_.in_doubt(name_.text() + " may hold the other medium: " + why,
                              "look at " + nodes_.backend +
                                  "/params once xenstored answers, or ask for it again; "
                                  "'xlstore recover' puts what is there into the entry");
    }

    XenstoreWork& work_;
    ThingName name_;
    CdNodes nodes_;
    std::string image_;   // the entry as it is to be
    std::string params_;  // of it
};

}  // namespace

Task<Result<Done>> change_medium_in_xenstore(XenstoreWork& work)
{
    XenstoreMedium medium(work);
    co_return co_await medium.run();
}

}  // namespace xlstore
