// SPDX-License-Identifier: MIT
// Attachment and Removal are one operation each, from its connection to its answer. NodesFate says
// what became of one transaction: `written` or `refused` are proved; `unknown` is silence over the
// commit, and look_again() then asks over another connection. The fast lock is held from the look
// before the entry's commit to the end of the transaction, for at most kLockHeld.
#include "store/operation/in_xenstore.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "store/base/limits.hpp"
#include "store/base/random.hpp"
#include "store/classes/class_plan.hpp"
#include "store/classes/xenstore_device.hpp"
#include "store/core/domain.hpp"
#include "store/operation/edit.hpp"
#include "store/operation/grace.hpp"
#include "store/os/image_opener.hpp"
#include "store/testing/crash_point.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"
#include "store/xenstore/client.hpp"
#include "store/xenstore/device_nodes.hpp"

namespace xlstore {

namespace {

using xenstore::Client;
using xenstore::DevicePaths;

constexpr auto kLockHeld = std::chrono::seconds(5);    // a silent daemon keeps it no longer
constexpr auto kCloseWait = std::chrono::seconds(10);  // libxl's own
constexpr auto kFirstPoll = std::chrono::milliseconds(5);
constexpr auto kLastPoll = std::chrono::milliseconds(100);
constexpr std::string_view kClosing = "5";
constexpr std::string_view kClosed = "6";
constexpr std::string_view kUnchanged = "nothing was changed";
constexpr std::size_t kStateShown = 40;

/// What became of a transaction on a device's nodes.
struct NodesFate {
    enum Fate { written, there, refused, unknown };
    explicit NodesFate(Fate fate_, std::string why_ = {}, std::string advice_ = {})
        : fate(fate_), why(std::move(why_)), advice(std::move(advice_))
    {}
    NodesFate(Fate fate_, Error&& error)
        : fate(fate_), why(std::move(error.message)), advice(std::move(error.advice))
    {}
    Fate fate;
    std::string why;
    std::string advice;
};

Error xenstore_in_doubt(const std::string& subject, const std::string& what, std::string advice)
{
    return Error(Errc::in_doubt, subject + ": " + what, std::move(advice));
}

Task<Result<Client>> connect_to_xenstore(Store& store, Deadline until)
{
    return Client::connect(store.loop(), xenstore::socket_path(), until);
}

std::string vm_path(const DomainRow& domain)
{
    return "/local/domain/" + std::to_string(domain.domid) + "/vm";
}

// A domid may be another domain's by now: /local/domain/7/vm, which no guest may write, says whose.
Result<void> judge_domain(const DomainRow& domain, const std::optional<std::string>& vm)
{
    const bool same =
        vm && (*vm == "/vm/" + domain.uuid || (domain.vm_uuid && *vm == "/vm/" + *domain.vm_uuid));
    if (same) return {};
    const std::string path = vm_path(domain);
    return Error(Errc::refused,
                 "xenstore has another domain of that number, or none: " +
                     (vm ? path + " names " + json_shown(*vm) : "xenstore has no " + path),
                 std::string(kUnchanged) + "; 'xl list -v' shows which domains Xen has");
}

Task<Result<void>> check_domain(Client& client, const DomainRow& domain, Deadline until)
{
    auto vm = co_await client.read(vm_path(domain), 0, until);
    if (!vm) co_return std::move(vm).error();
    co_return judge_domain(domain, *vm);
}

Task<void> abort_quietly(Client& client, xenstore::Transaction in, Deadline until)
{
    if (client.usable()) (void)co_await client.abort(in, until);
}

// The first of `replies` that says that its request was not done.
std::optional<Error> first_refusal(const std::vector<xenstore::Request>& requests,
                                   const std::vector<xenstore::Reply>& replies)
{
    for (std::size_t i = 0; i < replies.size(); ++i) {
        const bool gone = (requests[i].kind == xenstore::Kind::remove ||
                           requests[i].kind == xenstore::Kind::read) &&
                          replies[i].error == ENOENT;
        const bool made = requests[i].kind == xenstore::Kind::make && replies[i].error == EEXIST;
        if (replies[i].error == 0 || gone || made) continue;
        return xenstore::refused(std::string(kind_name(requests[i].kind)) + " " + requests[i].path,
                                 replies[i]);
    }
    return std::nullopt;
}

// Commits. Nothing: another client was faster, and the whole is to be done again.
Task<std::optional<NodesFate>> commit_nodes(Client& client, xenstore::Transaction in,
                                            Deadline until)
{
    XLSTORE_CRASH_POINT("xenstore.before_commit");
    auto committed = co_await client.commit(in, until);
    XLSTORE_CRASH_POINT("xenstore.after_commit");
    std::optional<NodesFate> nodes;
    if (!committed)
        nodes.emplace(client.usable() ? NodesFate::refused : NodesFate::unknown,
                      std::move(committed).error());
    else if (*committed)
        nodes.emplace(NodesFate::written);
    else if (Clock::now() >= until)
        nodes.emplace(NodesFate::refused,
                      "xenstored refuses to commit: other clients kept changing the same nodes",
                      "run this again");
    co_return nodes;
}

// The device's nodes, unless it is there. What ends before the commit was sent has changed nothing:
// a transaction dies with its connection.
Task<NodesFate> add_nodes(Client& client, std::int64_t domid, const XenstoreDevice& device,
                          Deadline until)
{
    const DevicePaths paths = xenstore::device_paths(domid, device);
    for (;;) {
        auto in = co_await client.begin(until);
        if (!in) co_return NodesFate(NodesFate::refused, std::move(in).error());
        // One round for the look and the writes: of a device that is there they are given up.
        std::vector<xenstore::Request> requests;
        requests.push_back(xenstore::request::read(paths.own, *in));
        for (auto& request : xenstore::requests_to_add(domid, device, *in))
            requests.push_back(std::move(request));
        auto replies = co_await client.ask(requests, until);
        if (!replies) co_return NodesFate(NodesFate::refused, std::move(replies).error());
        if (replies->front().error == 0) {
            co_await abort_quietly(client, *in, until);
            co_return NodesFate(NodesFate::there);
        }
        if (auto refusal = first_refusal(requests, *replies)) {
            co_await abort_quietly(client, *in, until);
            co_return NodesFate(NodesFate::refused, *std::move(refusal));
        }
        auto nodes = co_await commit_nodes(client, *in, until);
        if (nodes) co_return *std::move(nodes);
    }
}

// Takes away, too, what stands empty above them. Nothing: done.
Task<std::optional<Error>> clear_parents(Client& client, const DevicePaths& paths,
                                         xenstore::Transaction in, Deadline until)
{
    for (const auto& parent : parents_of(paths)) {
        auto left = co_await client.directory(parent, in, until);
        if (!left) co_return std::move(left).error();
        if (!*left || !(*left)->empty()) continue;
        auto removed = co_await client.remove(parent, in, until);
        if (!removed) co_return std::move(removed).error();
    }
    co_return std::nullopt;
}

Task<NodesFate> remove_nodes(Client& client, const DevicePaths& paths, Deadline until)
{
    for (;;) {
        auto in = co_await client.begin(until);
        if (!in) co_return NodesFate(NodesFate::refused, std::move(in).error());
        const auto requests = xenstore::requests_to_remove(paths, *in);
        auto replies = co_await client.ask(requests, until);
        if (!replies) co_return NodesFate(NodesFate::refused, std::move(replies).error());
        auto refusal = first_refusal(requests, *replies);
        if (!refusal) refusal = co_await clear_parents(client, paths, *in, until);
        if (refusal) {
            co_await abort_quietly(client, *in, until);
            co_return NodesFate(NodesFate::refused, *std::move(refusal));
        }
        auto nodes = co_await commit_nodes(client, *in, until);
        if (nodes) co_return *std::move(nodes);
    }
}

// Writes the node and removes it: what a dead client's transaction had of it can be committed no
// more. REQUIRES that it is absent.
Task<Result<void>> make_absence_sure(Client& client, const DevicePaths& paths, Deadline until)
{
    auto written = co_await client.write(paths.own, "", 0, until);
    if (!written) co_return written;
    auto removed = co_await remove_nodes(client, paths, until);
    if (removed.fate == NodesFate::written) co_return Result<void>();
    co_return Error(Errc::io, std::move(removed.why), std::move(removed.advice));
}

// After silence over a commit: is the device there? Nothing: that could not be found out.
Task<std::optional<bool>> look_again(Store& store, const DomainRow& domain,
                                     const DevicePaths& paths, Deadline until)
{
    auto client = co_await connect_to_xenstore(store, until);
    if (!client) co_return std::nullopt;
    auto there = co_await client->read(paths.own, 0, until);
    if (!there) co_return std::nullopt;
    if (*there) co_return true;
    // xenstored may have been started anew, and the domain with it be gone.
    auto same = co_await check_domain(*client, domain, until);
    if (!same && same.error().code != Errc::refused) co_return std::nullopt;
    if (!same) co_return false;
    auto sure = co_await make_absence_sure(*client, paths, until);
    if (!sure) co_return std::nullopt;
    co_return false;
}

/// What is known of a request's domain, and how it is named.
struct XenstoreWork {
    XenstoreWork(Store& store_, DomainRow domain_, Request request_, Deadline until_)
        : store(store_), domain(std::move(domain_)), request(std::move(request_)), until(until_)
    {}
    [[nodiscard]] std::string operation() const
    {
        return std::string(kind_name(request.kind)) + " " + request.device_class;
    }
    [[nodiscard]] Deadline held_until() const { return std::min(until, Clock::now() + kLockHeld); }
    [[nodiscard]] Deadline looked_until() const
    {
        return std::min(probe_deadline(until), Clock::now() + kLockHeld);
    }
    [[nodiscard]] Error of(Error error, const std::string& thing) const
    {
        error.message = domain.subject() + ": " + thing + ": " + error.message;
        return error;
    }

    Store& store;
    DomainRow domain;
    Request request;
    Deadline until;
};

class Attachment {
public:
    explicit Attachment(XenstoreWork& work) : work_(work), thing_(work.request.device_class) {}

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
                     std::string(kUnchanged) + "; detach it first, or choose another");
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
                                  std::string(kUnchanged) +
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
        return xenstore_in_doubt(work_.domain.subject(),
                                 thing_ + " may be in xenstore, and its entry stays: " + why,
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

class Removal {
public:
    explicit Removal(XenstoreWork& work)
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
            co_return xenstore_in_doubt(
                work_.domain.subject(),
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
        return xenstore_in_doubt(work_.domain.subject(),
                                 name_.text() + " is being removed, and its entry stays: " + why,
                                 "run this again: it goes on where this ended");
    }

    XenstoreWork& work_;
    ThingName name_;
    std::int64_t entry_ = 0;
    DevicePaths paths_;
    bool there_ = false;
};

}  // namespace

bool is_in_xenstore(Db& db, const DomainRow& domain, const Request& request)
{
    const auto* of = find_device_class(request.device_class);
    if (!of || xenstore_kind(of->name).empty()) return false;
    const auto traits = read_traits(db, domain.id);
    if (request.kind == Request::Kind::attach) {
        const auto json = json_minify(request.text, "thing", limits::thing_bytes_max);
        return json && json_type(*json) == JsonType::object &&
               json_get_string(*json, "type") != "devicemodel" &&
               thing_primary(*of, *json, traits) == Primary::xenstore;
    }
    const ThingName name{request.device_class, request.key};
    if (const auto entry = read_thing(db, domain.id, name)) return entry->primary == "xenstore";
    // Without an entry the class tells, where all of its things are in one place.
    return !of->primary_of && thing_primary(*of, "{}", traits) == Primary::xenstore;
}

Task<Result<Done>> perform_in_xenstore(Store& store, DomainRow domain, Request request,
                                       Deadline until)
{
    const DomainId id = domain.id;
    XenstoreWork work(store, std::move(domain), std::move(request), until);
    Result<Done> done = Error(Errc::no_memory, {});
    try {
        if (work.request.kind == Request::Kind::attach) {
            Attachment attachment(work);
            done = co_await attachment.run();
        } else if (work.request.kind == Request::Kind::detach) {
            Removal removal(work);
            done = co_await removal.run();
        } else {
            done =
                Error(Errc::refused,
                      work.domain.subject() + ": " + work.request.device_class + "/" +
                          work.request.key + " is xenstore's, since the domain is " +
                          std::string(domain_type_name(read_traits(store.db(), id).type)) +
                          ": no device model changes its medium",
                      "nothing was changed; detach the drive and attach it with the other image");
        }
    } catch (...) {
        done = caught();  // nothing is committed yet: what comes later has its own answer
    }
    if (!done) co_return gone_if_destroyed(store, id, std::move(done).error());
    co_return done;
}

}  // namespace xlstore
