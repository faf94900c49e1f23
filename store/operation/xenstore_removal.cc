// SPDX-License-Identifier: MIT
// Two holds of the fast lock; between them the back end is waited for, and its script run, without
// one. Where neither is to be done, one hold: a device whose back end was not asked to close looks
// whole, and a recovery that came in between would call its entry present again.
#include "store/operation/xenstore_removal.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/classes/xenstore_device.hpp"
#include "store/core/domain.hpp"
#include "store/operation/hotplug.hpp"
#include "store/operation/nodes_fate.hpp"
#include "store/operation/xenstore_entry.hpp"
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
constexpr const char* kWithoutScript =
    "run this again: it goes on where this ended; with --no-scripts it goes on without its script";

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
        const std::function<Task<Result<Done>>()> rest = [&]() -> Task<Result<Done>> {
            return finish(*client);
        };
        const std::function<Error(const std::string&)> in_doubt =
            [this](const std::string& why) -> Error { return doubt(why); };
        co_return co_await behind_the_commit(rest, in_doubt);
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
        auto marked = co_await mark_xenstore_entry(work_, *fast, entry_, held);
        if (!marked) co_return work_.of(std::move(marked).error(), name_.text());
        if (there_ && !paths_.back.empty()) {
            auto closing = co_await write_closing(client, held);
            if (!closing) co_return doubt(closing.error().message);
        }
        if (!was_asked_ && !script_) hold_.emplace(*std::move(fast));
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
        if (!entry || entry->primary != "xenstore") co_return no_entry_of_xenstore();
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
        if (!work_.never_ran && runs_scripts(work_.store, work_.domain.id))
            co_return co_await look_for_script(client, held);
        co_return Result<void>();
    }

    Task<Result<void>> look_for_script(Client& client, Deadline held)
    {
        std::map<std::string, std::string, std::less<>> values;
        for (const auto* key : {"script", "type", "gatewaydev"}) {
            auto value = co_await client.read(paths_.own + "/" + key, 0, held);
            if (!value) co_return std::move(value).error();
            if (*value) values[key] = **std::move(value);
        }
        script_ =
            scripted_device(paths_.back, [&](std::string_view key) -> std::optional<std::string> {
                const auto found = values.find(key);
                if (found == values.end()) return std::nullopt;
                return found->second;
            });
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
            was_asked_ = nodes->fate == NodesFate::written;
            if (was_asked_) co_return Result<void>();
            co_return Error(Errc::io, std::move(nodes->why), std::move(nodes->advice));
        }
    }

    // A console has no states: its nodes are taken away at once, as libxl does.
    [[nodiscard]] bool is_console() const { return name_.device_class == "channels"; }

    // While no lock was held another process may have removed it, and attached it anew, in the
    // place of an entry that was left or with one of its own.
    [[nodiscard]] bool is_gone() const
    {
        const auto entry = read_thing(work_.store.db(), work_.domain.id, name_);
        return !entry || entry->id != entry_ || entry->state == "present";
    }
    [[nodiscard]] bool is_present_again() const
    {
        const auto entry = read_thing(work_.store.db(), work_.domain.id, name_);
        return entry && entry->id == entry_ && entry->state == "present";
    }

    // What a dead client's script writes behind the removal would make nodes anew.
    Task<Result<void>> let_no_script_run()
    {
        if (!runs_scripts(work_.store, work_.domain.id)) co_return Result<void>();
        co_return co_await let_script_end(work_.store, paths_, Clock::now());
    }

    // Its script tidies up behind the closed back end; no fast lock is held.
    Task<Result<void>> disconnect_by_script(Client& client)
    {
        if (!script_) co_return co_await let_no_script_run();
        std::optional<SlowHold> slow;
        if (!work_.holds_slow_lock) {
            auto hold = co_await work_.store.slow_lock(work_.domain.id, work_.domain.subject(),
                                                       work_.operation(), work_.until);
            if (!hold) co_return std::move(hold).error();
            slow.emplace(*std::move(hold));
        }
        if (is_gone()) co_return Result<void>();  // finish() says so
        auto ran =
            co_await run_script(work_.store, client, *script_, ScriptAction::remove, work_.until);
        if (!ran) co_return std::move(ran).error();
        co_return Result<void>();
    }

    // The back end's state once it is closed or gone: nothing. Else what it was last.
    Task<Result<std::optional<std::string>>> wait_until_closed(Client& client)
    {
        std::optional<std::string> last;
        if (!was_asked_) co_return last;
        const Deadline end = std::min(work_.until, Clock::now() + kCloseWait);
        for (auto pause = kFirstPoll;; pause = std::min(2 * pause, kLastPoll)) {
            auto state =
                co_await client.read(paths_.back + "/state", 0, probe_deadline(work_.until));
            if (!state) co_return std::move(state).error();
            if (!*state || **state == kClosed) co_return std::optional<std::string>();
            last = plain_text(**state, kStateShown);
            if (Clock::now() >= end || is_gone()) co_return last;
            (void)co_await work_.store.loop().sleep(std::min(end, Clock::now() + pause));
        }
    }

    Task<Result<Done>> finish(Client& client)
    {
        if (hold_) {
            auto none = co_await let_no_script_run();
            if (!none) co_return doubt(none.error().message);
            co_return co_await take_out(client, *hold_);
        }
        auto waits = co_await wait_until_closed(client);
        if (!waits) co_return doubt(waits.error().message);
        if (*waits && !is_gone())
            co_return work_.in_doubt(
                name_.text() +
                    ": asked, waiting for the guest: its back end has "
                    "state " +
                    json_shown(**waits) + ", not 6 (closed)",
                "the entry stays, as 'removing'; run this again once the guest has "
                "let go");
        auto ran = co_await disconnect_by_script(client);
        if (!ran) co_return doubt(ran.error().message, kWithoutScript);
        auto fast = co_await lock();
        if (!fast) co_return doubt(fast.error().message);
        if (!is_gone()) co_return co_await take_out(client, *fast);
        // Of one that was asked to close, no recovery calls the entry present.
        if (!was_asked_ && is_present_again())
            co_return doubt("another process has called it present again",
                            "look at what is there, and run this again");
        Done done{{}, "another process has removed it"};
        co_return done;
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
        ThingName name = name_;
        auto removed = co_await remove_xenstore_entry(work_, fast, std::move(name));
        if (!removed) co_return doubt("its nodes are gone, and " + removed.error().message);
        Done done{{},
                  there_ ? "xenstore had " + paths_.own + ", and has it no more"
                         : "xenstore had no " + paths_.own};
        co_return done;
    }

    [[nodiscard]] Error doubt(
        const std::string& why,
        std::string advice = "run this again: it goes on where this ended") const
    {
        return work_.in_doubt(name_.text() + " is being removed, and its entry stays: " + why,
                              std::move(advice));
    }

    XenstoreWork& work_;
    ThingName name_;
    std::int64_t entry_ = 0;
    DevicePaths paths_;
    bool there_ = false;
    bool was_asked_ = false;                // its back end, to close
    std::optional<FastLock> hold_;          // where there is nothing to wait for
    std::optional<ScriptedDevice> script_;  // that this program runs
};

}  // namespace

Task<Result<Done>> detach_in_xenstore(XenstoreWork& work)
{
    XenstoreRemoval removal(work);
    co_return co_await removal.run();
}

}  // namespace xlstore
