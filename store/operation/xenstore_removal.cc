// SPDX-License-Identifier: MIT
// Two holds of the fast lock, with the wait for the back end between them, which has none.
#include "store/operation/xenstore_removal.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/classes/xenstore_device.hpp"
#include "store/core/domain.hpp"
#include "store/operation/edit.hpp"
#include "store/operation/nodes_fate.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

using xenstore::Client;
using xenstore::DevicePaths;

constexpr auto kCloseWait = std::chrono::seconds(10);  // libxl's own
constexpr auto kFirstPoll = std::chrono::milliseconds(5);
constexpr auto kLastPoll = std::chrono::milliseconds(100);
constexpr std::string_view kClosing = "5";
constexpr std::string_view kClosed = "6";
constexpr std::string_view kUnchanged = "nothing was changed";
constexpr std::size_t kStateShown = 40;

class XenstoreRemoval {
public:
    explicit XenstoreRemoval(XenstoreWork& work)
        : work_(work), name_{work.request.device_class, work.request.key}
    {}

    Task<Result<Done>> run()
    {
        auto client = co_await connect_to_xenstore(work_.store, work_.until);
        if (!client) co_return work_.of(std::move(client).error(), name_.text());
        auto asked = co_await ask_to_close(*client);
        if (!asked) co_return std::move(asked).error();
        std::optional<Error> failure;
        Result<Done> ended = Error(Errc::in_doubt, {});
        try {
            ended = co_await finish(*client);
        } catch (...) {
            failure = caught();
        }
        if (failure) co_return doubt(failure->message);
        co_return ended;
    }

private:
    // First hold: the entry says 'removing', then the back end is asked to close.
    Task<Result<void>> ask_to_close(Client& client)
    {
        auto fast = co_await lock();
        if (!fast) co_return std::move(fast).error();
        const Deadline held = work_.held_until();
        auto found = co_await look(client, held);
        if (!found) co_return work_.of(std::move(found).error(), name_.text());
        Store& store = work_.store;
        auto marked = co_await store.with_held_fast_lock(
            store.loop(), *fast, work_.operation(), held,
            [this, &store](const FastHold& hold) -> Result<void> {
                if (auto edit = begin_edit(store, hold, 0); !edit) return edit.error();
                store.db()
                    .prepare("UPDATE thing SET state = 'removing' WHERE id = ?")
                    .bind(entry_)
                    .run();
                return {};
            });
        if (!marked) co_return work_.of(std::move(marked).error(), name_.text());
        if (!there_ || paths_.back.empty()) co_return Result<void>();
        auto closing = co_await write_closing(client, held);
        if (!closing) co_return doubt(closing.error().message);
        co_return Result<void>();
    }

    Task<Result<FastLock>> lock()
    {
        co_return co_await work_.store.fast_lock(work_.store.loop(), work_.domain.id,
                                                 work_.operation() + "/" + name_.key, work_.until);
    }

    // The entry, and the nodes that it stands for.
    Task<Result<void>> look(Client& client, Deadline held)
    {
        auto same = co_await check_domain(client, work_.domain, held);
        if (!same) co_return same;
        const auto entry = read_thing(work_.store.db(), work_.domain.id, name_);
        if (!entry || entry->primary != "xenstore")
            co_return Error(Errc::not_found, "there is no such entry of xenstore's",
                            "'xlstore things DOM' shows what it has");
        entry_ = entry->id;
        const auto kind = xenstore_kind(name_.device_class);
        if (kind.empty())
            co_return Error(Errc::refused,
                            "this version removes nothing of this class from xenstore",
                            std::string(kUnchanged) + "; libxl does it");
        auto number = xenstore_number(name_.device_class, entry->json);
        if (!number) co_return std::move(number).error();
        paths_ = xenstore::device_paths(work_.domain.domid, kind, *number);
        auto own = co_await client.read(paths_.own, 0, held);
        if (!own) co_return std::move(own).error();
        there_ = own->has_value();
        auto back = co_await client.read(paths_.own + "/backend", 0, held);
        if (!back) co_return std::move(back).error();
        if (!*back) co_return Result<void>();
        if (!xenstore::is_back_end_of(**back, work_.domain.domid, *number))
            co_return Error(Errc::refused,
                            paths_.own + "/backend is no path of its back end: " +
                                json_shown(plain_text(**back, limits::evidence_bytes_max)),
                            std::string(kUnchanged) + "; see what wrote it");
        paths_.back = **back;
        co_return Result<void>();
    }

    // online 0 and state 5, in one transaction; what is closed or gone stays as it is.
    Task<Result<void>> write_closing(Client& client, Deadline held)
    {
        for (;;) {
            auto in = co_await client.begin(held);
            if (!in) co_return std::move(in).error();
            auto state = co_await client.read(paths_.back + "/state", *in, held);
            if (!state) co_return std::move(state).error();
            if (!*state || is_console()) {
                co_await abort_quietly(client, *in, held);
                co_return Result<void>();
            }
            std::vector<xenstore::Request> requests;
            requests.push_back(xenstore::request::write(paths_.back + "/online", "0", *in));
            if (**state != kClosed)
                requests.push_back(
                    xenstore::request::write(paths_.back + "/state", std::string(kClosing), *in));
            auto replies = co_await client.ask(requests, held);
            if (!replies) co_return std::move(replies).error();
            if (auto refusal = first_refusal(requests, *replies)) co_return *std::move(refusal);
            auto nodes = co_await commit_nodes(client, *in, held);
            if (!nodes) continue;
            if (nodes->fate == NodesFate::written) co_return Result<void>();
            co_return Error(Errc::io, std::move(nodes->why), std::move(nodes->advice));
        }
    }

    // A console has no states: its nodes are taken away at once, as libxl does.
    [[nodiscard]] bool is_console() const { return name_.device_class == "channels"; }

    // The back end's state once it is closed or gone: nothing. Else what it was last.
    Task<Result<std::optional<std::string>>> wait_until_closed(Client& client)
    {
        std::optional<std::string> last;
        if (!there_ || paths_.back.empty() || is_console()) co_return last;
        const Deadline end = std::min(work_.until, Clock::now() + kCloseWait);
        for (auto pause = kFirstPoll;; pause = std::min(2 * pause, kLastPoll)) {
            auto state =
                co_await client.read(paths_.back + "/state", 0, probe_deadline(work_.until));
            if (!state) co_return std::move(state).error();
            if (!*state || **state == kClosed) co_return std::optional<std::string>();
            last = plain_text(**state, kStateShown);
            if (Clock::now() >= end) co_return last;
            (void)co_await work_.store.loop().sleep(std::min(end, Clock::now() + pause));
        }
    }

    Task<Result<Done>> finish(Client& client)
    {
        auto waits = co_await wait_until_closed(client);
        if (!waits) co_return doubt(waits.error().message);
        if (*waits)
            co_return work_.in_doubt(
                name_.text() +
                    ": asked, waiting for the guest: its back end has "
                    "state " +
                    json_shown(**waits) + ", not 6 (closed)",
                "the entry stays, as 'removing'; run this again once the guest has "
                "let go");
        auto fast = co_await lock();
        if (!fast) co_return doubt(fast.error().message);
        const auto entry = read_thing(work_.store.db(), work_.domain.id, name_);
        if (!entry || entry->id != entry_) {
            Done done{{}, "another process has removed it"};
            co_return done;
        }
        co_return co_await take_out(client, *fast);
    }

    // Second hold: the nodes go, then the entry (R5).
    Task<Result<Done>> take_out(Client& client, const FastLock& fast)
    {
        const Deadline held = work_.looked_until();
        if (there_) {
            auto nodes = co_await remove_nodes(client, paths_, held);
            if (nodes.fate != NodesFate::written) {
                auto there = std::optional<bool>(true);
                if (nodes.fate == NodesFate::unknown)
                    there = co_await look_again(work_.store, work_.domain, paths_,
                                                work_.looked_until());
                if (there.value_or(true)) co_return doubt(nodes.why);
            }
        } else {
            auto sure = co_await make_absence_sure(client, paths_, held);
            if (!sure) co_return doubt(sure.error().message);
        }
        Store& store = work_.store;
        auto removed = co_await store.with_held_fast_lock(
            store.loop(), fast, work_.operation(), settle_deadline(work_.until),
            [this, &store](const FastHold& hold) -> Result<void> {
                if (auto edit = begin_edit(store, hold, 0); !edit) return edit.error();
                return remove_thing(store, hold, name_, "detach");
            },
            Room::reserve);
        if (!removed) co_return doubt("its nodes are gone, and " + removed.error().message);
        Done done{{},
                  there_ ? "xenstore had " + paths_.own + ", and has it no more"
                         : "xenstore had no " + paths_.own};
        co_return done;
    }

    [[nodiscard]] Error doubt(const std::string& why) const
    {
        return work_.in_doubt(name_.text() + " is being removed, and its entry stays: " + why,
                              "run this again: it goes on where this ended");
    }

    XenstoreWork& work_;
    ThingName name_;
    std::int64_t entry_ = 0;
    DevicePaths paths_;
    bool there_ = false;
};

}  // namespace

Task<Result<Done>> detach_in_xenstore(XenstoreWork& work)
{
    XenstoreRemoval removal(work);
    co_return co_await removal.run();
}

}  // namespace xlstore
