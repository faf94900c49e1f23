// SPDX-License-Identifier: MIT
#include "store/operation/engine.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <map>
#include <new>

#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/product.hpp"
#include "store/operation/overtaken.hpp"
#include "store/os/image_opener.hpp"
#include "store/qmp/address.hpp"
#include "store/qmp/probe.hpp"
#include "store/testing/hole.hpp"
#include "store/testing/trace.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

// What QEMU did must be found out and written down even when QEMU used up the whole deadline. Both
// count from the operation's own deadline, never from now: each command that began its grace anew
// would leave QEMU the say over how long the lock is held (R20).
constexpr auto kLookGrace = std::chrono::milliseconds(2500);
constexpr auto kSettleGrace = std::chrono::seconds(5);
constexpr auto kGonePoll = std::chrono::milliseconds(100);
// A device lets go of what it stood on a moment after it is gone itself.
constexpr auto kReleaseWait = std::chrono::milliseconds(1500);
constexpr auto kReleasePoll = std::chrono::milliseconds(20);

/// For undoing, and for the last look at QEMU.
Deadline look_deadline(Deadline until)
{
    return until + kLookGrace;
}
/// For the last commit.
Deadline settle_deadline(Deadline until)
{
    return until + kSettleGrace;
}

// The images of a plan: a descriptor a step, none where a step has no image.
Task<Result<std::vector<Fd>>> open_files(Loop& loop, const std::vector<Step>& steps, Deadline until)
{
    std::vector<Fd> files;
    for (const auto& step : steps) {
        if (step.file.empty()) {
            files.emplace_back();
            continue;
        }
        const auto wait = std::min(until, Clock::now() + limits::image_open_wait);
        auto file = co_await open_image(loop, step.file, step.writable, wait);
        if (!file) co_return std::move(file).error();
        files.push_back(*std::move(file));
    }
    co_return std::move(files);
}

// Puts what was only learned on the way into later arguments: the string "$fdset" becomes the
// number itself, $fdset within a longer string its digits.
std::string with_captured(std::string arguments, const std::map<std::string, std::string>& captured)
{
    // From the back of the map: $fdset_b before $fdset.
    for (auto it = captured.rbegin(); it != captured.rend(); ++it)
        for (const std::string& placeholder : {"\"$" + it->first + "\"", "$" + it->first})
            for (auto at = arguments.find(placeholder); at != std::string::npos;
                 at = arguments.find(placeholder, at + it->second.size()))
                arguments.replace(at, placeholder.size(), it->second);
    return arguments;
}

bool only_asks_the_guest(const Command& command)
{
    return command.execute == kDeviceDel;
}

std::string qemu_said(const Command& command, const qmp::Reply& reply)
{
    return "QEMU refused " + command.execute + ": " + qmp::printable(reply.error_desc);
}

std::string traced(const Evidence& found)
{
    if (found.half) return "half";
    return found.image ? std::string(image_name(*found.image)) : "nothing";
}

void trace_probed(DomainId domain, const std::vector<IntentId>& intents, const Evidence& found)
{
    for (const auto id : intents)
        XLSTORE_TRACE("probed", value_of(domain),
                      "intent=" + std::to_string(value_of(id)) + " image=" + traced(found));
}

// Stands for the tray that a guest has been asked to open: no product, but waited for like one.
constexpr std::string_view kTray = "tray";

Product tray_of(const Probe& probe)
{
    return Product{std::string(kTray), probe.drive->drive, std::nullopt};
}

std::vector<Product> asked_of(const std::vector<Intent>& intents)
{
    std::vector<Product> asked;
    for (const auto& intent : intents) {
        if (intent.older_state) continue;  // it is closed by what is seen now
        asked.insert(asked.end(), intent.asked.begin(), intent.asked.end());
        if (intent.asked_us && intent.draft.plan.probe.drive)
            asked.push_back(tray_of(intent.draft.plan.probe));
    }
    return asked;
}

// What of `asked` is in QEMU yet; of a tray, the medium that was to leave it.
std::vector<Product> still_there(const std::vector<Product>& asked, const Evidence& found)
{
    std::vector<Product> there;
    for (const auto& product : asked)
        if (product.kind == kTray && found.image == Image::before) there.push_back(product);
    for (const auto& product : found.present)
        if (has_product(asked, product)) there.push_back(product);
    return there;
}

// What is in the drive before anything is done: a probe tells it again, and history names it.
void remember_medium(DriveProbe& drive, const Evidence& found)
{
    drive.seen = found.medium;
    if (found.medium_name && !found.medium_name->empty()) drive.seen_medium = found.medium_name;
}

}  // namespace

bool waits_for_guest(const std::vector<Intent>& intents, const Evidence& found)
{
    return !still_there(asked_of(intents), found).empty();
}

bool has_more_to_ask(const std::vector<Intent>& intents, const Evidence& found)
{
    const auto asked = asked_of(intents);
    return waits_for_guest(intents, found) &&
           std::any_of(found.present.begin(), found.present.end(), [&](const Product& product) {
               return is_device(product) && !has_product(asked, product);
           });
}

Probe probe_of(const std::vector<Intent>& intents)
{
    Probe whole = intents.front().draft.plan.probe;
    for (auto it = intents.begin() + 1; it != intents.end(); ++it)
        whole.products.insert(whole.products.end(), it->draft.plan.probe.products.begin(),
                              it->draft.plan.probe.products.end());
    return whole;
}

namespace {

std::string names_of(const std::vector<Draft>& drafts)
{
    std::string names;
    for (const auto& draft : drafts)
        names += (names.empty() ? "" : ", ") + draft.thing.text();
    return names;
}

std::string names_of(const std::vector<Wish>& wishes)
{
    std::string names;
    for (const auto& wish : wishes)
        names += (names.empty() ? "" : ", ") + wish.thing.text();
    return names;
}

// What a person calls an operation of this verb.
std::string_view request_name(Verb verb)
{
    switch (verb) {
    case Verb::add:
        return "attach";
    case Verb::remove:
        return "detach";
    case Verb::change:
        break;
    }
    return "change";
}

std::vector<IntentId> ids_of(const std::vector<Intent>& intents)
{
    std::vector<IntentId> ids;
    for (const auto& intent : intents)
        ids.push_back(intent.id);
    return ids;
}

std::vector<std::vector<Product>> products_of(const std::vector<Intent>& intents)
{
    std::vector<std::vector<Product>> products;
    for (const auto& intent : intents)
        products.push_back(intent.draft.plan.probe.products);
    return products;
}

// Several adds as one plan.
Draft merged(const std::vector<Draft>& drafts)
{
    Draft whole = drafts.front();
    for (auto it = drafts.begin() + 1; it != drafts.end(); ++it) {
        const Plan& plan = it->plan;
        whole.plan.steps.insert(whole.plan.steps.end(), plan.steps.begin(), plan.steps.end());
        whole.plan.probe.products.insert(whole.plan.probe.products.end(),
                                         plan.probe.products.begin(), plan.probe.products.end());
    }
    return whole;
}

bool makes_something(const Step& step)
{
    const auto product = product_of(step.command);
    return !step.capture.empty() || (product && *product);
}

}  // namespace

// Intents that are committed, with what is needed to speak of them: made before they are, so that
// there is an answer even when the memory has run out since.
struct Engine::Open {
    std::vector<IntentId> ids = {};
    std::vector<std::vector<Product>> products = {};  // of each, if they are adds
    Verb verb;
    std::string things;  // their names
    Error doubt;         // in as few words as will do

    Open(const DomainRow& domain, Verb verb_, std::string things_)
        : verb(verb_),
          things(std::move(things_)),
          doubt(Errc::in_doubt, domain.subject() + ": " + things + " is in doubt",
                "its intent stays open: 'xlstore wait' for it, or 'xlstore recover'")
    {}

    // R18: in doubt, with the number of this request's own intent.
    [[nodiscard]] Error in_doubt(const std::string& why) const noexcept
    {
        Error error(Errc::in_doubt, {});
        error.intent = value_of(ids.front());
        try {
            const auto number = std::to_string(value_of(ids.front()));
            std::string advice = "intent " + number + " stays open: 'xlstore wait " + number +
                                 "', or 'xlstore recover'";
            error.message = doubt.message + ": " + why;
            error.advice = std::move(advice);
        } catch (const std::bad_alloc&) {
            error.message.clear();
        }
        return error;
    }
    // The same when an exception was caught; never throws, and words are had from `doubt`.
    [[nodiscard]] Error in_doubt_of(Error failure) noexcept
    {
        Error error = in_doubt(failure.message);
        if (error.message.empty()) {
            error.message = std::move(doubt.message);
            error.advice = std::move(doubt.advice);
        }
        return error;
    }
};

// How far a plan got.
struct Engine::Carried {
    Evidence evidence;
    std::optional<std::string> refusal;  // QEMU's or the guest's, with the steps before it undone
    std::vector<Product> asked;  // the guest has been asked for them, and may let go at any time
    bool unproved = false;       // a step that makes nothing may not be undone: no probe sees it
    bool tray_asked = false;     // the guest has been asked to open it, and may do so at any time
    Addresses addresses;         // where QEMU put what was added
};

// What the guest is asked to let go of on the way.
struct Engine::Asking {
    std::vector<IntentId> intents;          // in which it is written down
    std::vector<Product> asked;             // it neither let go of them nor said no
    std::optional<Deadline> patience = {};  // one wait for all of them
};

// A step that was done, and what undoes it.
struct Engine::Undoing {
    Command command;
    bool shows;  // what it undoes is something that a probe sees
};

Engine::Engine(Store& store, DomainRow domain, SlowHold hold, qmp::Monitor monitor)
    : store_(&store),
      journal_(store),
      domain_(std::move(domain)),
      hold_(std::move(hold)),
      monitor_(std::move(monitor))
{}

Task<Result<Engine>> Engine::begin(Store& store, DomainRow domain, std::string operation,
                                   Deadline until)
{
    auto hold = co_await store.slow_lock(domain.id, domain.subject(), std::move(operation), until);
    if (!hold) co_return std::move(hold).error();
    const auto row = read_domain(store.db(), domain.id);
    if (row && row->state == DomainState::creating)
        co_return Error(Errc::refused,
                        row->subject() + " is still being created, and no process is at work on it any more",
                        "nothing was changed; run 'xlstore recover' first");
    co_return co_await begin_under(store, std::move(domain), *std::move(hold), until);
}

Task<Result<Engine>> Engine::begin_under(Store& store, DomainRow domain, SlowHold hold,
                                         Deadline until)
{
    // Read again now that the lock is held: the domain may have got another QEMU, or an end.
    auto row = read_domain(store.db(), domain.id);
    if (!row || row->state == DomainState::destroying || row->state == DomainState::destroyed)
        co_return Error(Errc::gone, domain.subject() + " was destroyed or is being destroyed (R8)");
    if (!row->registration)
        co_return Error(Errc::no_qemu, row->subject() + " has no QEMU in the store",
                        "register it: xlstore register DOM --monitor SOCKET");
    auto monitor =
        co_await qmp::Monitor::connect(store.loop(), *row->registration, row->subject(), until);
    if (!monitor) co_return std::move(monitor).error();
    XLSTORE_TRACE("connected", value_of(domain.id));
    co_return Engine(store, *std::move(row), std::move(hold), *std::move(monitor));
}

Task<Result<void>> Engine::stay_connected(Deadline until)
{
    if (monitor_.usable()) co_return Result<void>();
    auto monitor = co_await qmp::Monitor::connect(store_->loop(), *domain_.registration,
                                                  domain_.subject(), until);
    if (!monitor) co_return std::move(monitor).error();
    // R15: while no client was connected, a successor may have begun, and what is in QEMU may be its
    // own. Asked now that no successor can be connected, the answer lasts as long as this does.
    if (auto ours = journal_.still_held(hold_); !ours) co_return ours;
    XLSTORE_TRACE("connected", value_of(domain_.id));
    monitor_ = *std::move(monitor);
    co_return Result<void>();
}

Task<Engine::Unplug> Engine::watch_unplug(Product device, Deadline patience, Deadline until)
{
    Probe probe;
    probe.products.push_back(device);
    bool refused = false;
    for (;;) {
        const auto evidence = co_await look(monitor_, Verb::remove, probe, look_deadline(until));
        if (!evidence.image) co_return Unplug::unknown;
        if (*evidence.image == Image::after) co_return Unplug::gone;
        if (refused) co_return Unplug::refused;
        if (Clock::now() >= patience) co_return Unplug::waits;
        // The event only says that it is worth looking again.
        const auto event = co_await monitor_.wait_for_unplug(
            device.name, std::min(patience, Clock::now() + kGonePoll));
        refused = event && *event == qmp::kUnplugRefused;
    }
}

// A drive that did not open. Its guest may keep the tray shut; then QEMU has asked it to open it.
Task<Engine::Shut> Engine::watch_tray(std::vector<IntentId> intents, const Draft& whole,
                                      Deadline until)
{
    auto found = co_await look(monitor_, whole.verb, whole.plan.probe, look_deadline(until));
    if (!found.tray_shut) co_return Shut::no;
    if (!whole.waits_for_tray) co_return Shut::stays;
    // Written down before the wait, as for a device.
    std::optional<std::vector<Product>> asked(std::in_place, 1, tray_of(whole.plan.probe));
    auto noted = co_await journal_.note(hold_, intents, "the guest has been asked to open the tray",
                                        std::move(asked), settle_deadline(until));
    const auto last = std::min(until, Clock::now() + limits::guest_unplug_wait);
    while (noted && found.tray_shut && Clock::now() < last) {
        (void)co_await store_->loop().sleep(std::min(last, Clock::now() + kGonePoll));
        found = co_await look(monitor_, whole.verb, whole.plan.probe, look_deadline(until));
    }
    co_return found.tray_shut || !found.image ? Shut::waits : Shut::opened;
}

Task<Result<qmp::Reply>> Engine::send(Command command, Deadline until, int file_descriptor)
{
    const auto patience = std::min(until, Clock::now() + kReleaseWait);
    for (;;) {
        XLSTORE_TRACE("sending", value_of(domain_.id), command.execute);
        auto reply =
            co_await monitor_.execute(command.execute, command.arguments, until, file_descriptor);
        XLSTORE_TRACE("replied", value_of(domain_.id),
                      !reply      ? "nothing"
                      : reply->ok ? "done"
                                  : "refused");
        const bool refused = reply && !reply->ok;
        if (!refused || !takes_out_backend(command) || Clock::now() >= patience) co_return reply;
        (void)co_await store_->loop().sleep(Clock::now() + kReleasePoll);
    }
}

// After a device_del. A USB device goes at once; a guest that takes its time is waited for later,
// when it has been asked for all devices. Written down before that:
// killed in the wait, a process leaves no other trace of it.
Task<Result<void>> Engine::note_asked(Product device, Asking& asking, Deadline until)
{
    const auto became = co_await watch_unplug(device, Clock::now(), until);
    std::erase_if(asking.asked, [&](const Product& p) { return same_product(p, device); });
    if (became == Unplug::gone) co_return Result<void>();
    asking.asked.push_back(device);
    if (became == Unplug::unknown) co_return Result<void>();
    std::optional<std::vector<Product>> asked(asking.asked);
    co_return co_await journal_.note(
        hold_, asking.intents, "the guest has been asked to let go of " + json_shown(device.name),
        std::move(asked), settle_deadline(until));
}

// Waits for all devices that the guest was asked for, for a while. Errors: refused, it said no;
// in_doubt, it has one of them yet.
Task<Result<void>> Engine::await_guest(Asking& asking, Deadline until)
{
    if (asking.asked.empty()) co_return Result<void>();
    if (!asking.patience)
        asking.patience = std::min(until, Clock::now() + limits::guest_unplug_wait);
    Result<void> outcome;
    const std::vector<Product> devices = asking.asked;
    for (const auto& device : devices) {
        const auto became = co_await watch_unplug(device, *asking.patience, until);
        if (became == Unplug::gone || became == Unplug::refused)
            std::erase_if(asking.asked, [&](const Product& p) { return same_product(p, device); });
        if (became == Unplug::refused)
            outcome = Error(Errc::refused,
                            "the guest refused to let go of device " + json_shown(device.name));
        else if (became != Unplug::gone && outcome)
            outcome = Error(Errc::in_doubt, "the guest still has " + json_shown(device.name));
    }
    co_return outcome;
}

// One command that takes something out; of a device it only asks the guest.
Task<Result<void>> Engine::undo(Command command, Asking& asking, Deadline until)
{
    if (XLSTORE_LEFT_OUT("undo")) co_return Result<void>();
    auto reply = co_await send(command, look_deadline(until), -1);
    if (!reply) co_return std::move(reply).error();
    if (!reply->ok) co_return Error(Errc::refused, qemu_said(command, *reply));
    if (!only_asks_the_guest(command)) co_return Result<void>();
    co_return co_await note_asked(device_of_removal(command.arguments), asking, until);
}

// Takes products out, last first. The guest is asked for each device that it was not asked for yet;
// what they may stand on waits until all of them are gone.
Task<Result<void>> Engine::take_out(const std::vector<Product>& products, Asking& asking,
                                    Deadline until)
{
    monitor_.forget_unplugs();
    for (const bool devices : {true, false}) {
        for (auto it = products.rbegin(); it != products.rend(); ++it) {
            if (is_device(*it) != devices || has_product(asking.asked, *it)) continue;
            if (!it->undo)
                co_return Error(Errc::refused, "nothing is known to take out " + it->kind + " " +
                                                   json_shown(it->name));
            auto out = co_await undo(*it->undo, asking, until);
            if (!out) co_return out;
        }
        auto gone = co_await await_guest(asking, until);
        if (!gone) co_return gone;
    }
    co_return Result<void>();
}

// Half done: undoes what the intent itself left, then looks again. Never the rest of a plan.
Task<Evidence> Engine::clear_up(Verb verb, const Probe& probe, Evidence evidence, Asking& asking,
                                Deadline until)
{
    std::string trouble;
    if (!evidence.present.empty()) {
        auto out = co_await take_out(evidence.present, asking, until);
        if (!out) trouble = out.error().message;
        evidence = co_await look(monitor_, verb, probe, look_deadline(until));
    }
    if (!evidence.leftover_fdsets.empty()) {
        std::vector<std::int64_t> removed;
        // How many there are is QEMU's word: the next operation or recovery takes the rest.
        auto swept = evidence.leftover_fdsets;
        if (swept.size() > limits::fdsets_swept_max) {
            trouble = "of " + std::to_string(swept.size()) +
                      " unused descriptor sets no more than " +
                      std::to_string(limits::fdsets_swept_max) + " are swept up at a time";
            swept.resize(limits::fdsets_swept_max);
        }
        for (const auto fdset : swept) {
            if (!monitor_.usable()) break;
            const Command remove{"remove-fd", "{\"fdset-id\":" + std::to_string(fdset) + "}"};
            auto out = co_await undo(remove, asking, until);
            if (out)
                removed.push_back(fdset);
            else
                trouble = out.error().message;
        }
        evidence = co_await look(monitor_, verb, probe, look_deadline(until));
        // A paused QEMU lists a removed set until its guest runs again.
        std::erase_if(evidence.leftover_fdsets, [&](std::int64_t id) {
            return std::find(removed.begin(), removed.end(), id) != removed.end();
        });
        if (evidence.image || evidence.overtaken)
            evidence.half = !evidence.leftover_fdsets.empty();
    }
    evidence.asked = still_there(asking.asked, evidence);
    if (!trouble.empty()) evidence.reason += "; " + trouble;
    co_return evidence;
}

Task<Result<Resolved>> Engine::resolve(std::vector<Intent> intents, Deadline until, Tray tray)
{
    const Intent& first = intents.front();
    const Verb verb = first.draft.verb;
    const Probe probe = probe_of(intents);
    Evidence found = co_await look(monitor_, verb, probe, until);
    found = by_looking(intents, std::move(found));
    trace_probed(domain_.id, ids_of(intents), found);
    Asking asking{ids_of(intents), asked_of(intents)};
    found.asked = still_there(asking.asked, found);
    if (tray == Tray::given_up && verb == Verb::change && !found.asked.empty()) {
        found.asked.clear();
        found.reason += "; another request has taken the place of this one";
    }
    if ((found.half && found.asked.empty()) || has_more_to_ask(intents, found)) {
        found = co_await clear_up(verb, probe, std::move(found), asking, until);
        trace_probed(domain_.id, ids_of(intents), found);
    }
    const bool waits = !found.asked.empty();
    if (intents.size() > 1 && found.image == Image::before)
        found.reason += "; none of a batch of " + std::to_string(intents.size()) + " is left";

    if (found.overtaken && !waits && !found.half) {
        auto closed = close_overtaken(*store_, *this, std::move(intents), std::move(found),
                                      settle_deadline(until));
        co_return co_await std::move(closed);
    }
    if (waits || found.half || !found.image) {
        Resolved open{waits        ? Resolution::waits
                      : found.half ? Resolution::stuck
                                   : Resolution::in_doubt,
                      found.reason};
        if (first.note != plain_text(open.reason, limits::evidence_bytes_max)) {
            std::optional<std::vector<Product>> asked;  // as it was, where nothing was seen
            if (found.image || found.half) asked = found.asked;
            auto noted = co_await journal_.note(hold_, ids_of(intents), open.reason,
                                                std::move(asked), settle_deadline(until));
            if (!noted) co_return std::move(noted).error();
        }
        co_return open;
    }
    // Between a device_del and the commit that says so, a crash leaves no trace of it.
    const auto& steps = first.draft.plan.steps;
    if (*found.image == Image::before &&
        std::any_of(steps.begin(), steps.end(),
                    [](const Step& step) { return only_asks_the_guest(step.command); }))
        found.reason += "; whether its guest was asked to let go is not known";
    std::string evidence = found.reason;
    if (!first.note.empty()) evidence += " (before: " + first.note + ")";
    Addresses addresses;
    if (verb == Verb::add && *found.image == Image::after)
        addresses = co_await ask_where(ids_of(intents), products_of(intents), until);
    auto settled =
        co_await journal_.settle(hold_, ids_of(intents), *found.image, std::move(evidence),
                                 std::move(addresses), settle_deadline(until));
    if (!settled) co_return std::move(settled).error();
    Resolved closed{*found.image == Image::after    ? Resolution::done
                    : *found.image == Image::before ? Resolution::undone
                                                    : Resolution::emptied,
                    found.reason};
    co_return closed;
}

// Before the commit that says that they are there, over the connection that proved it.
Task<Addresses> Engine::ask_where(const std::vector<IntentId>& intents,
                                  const std::vector<std::vector<Product>>& products, Deadline until)
{
    Addresses addresses;
    for (std::size_t i = 0; i < products.size(); ++i)
        addresses[intents[i]] = co_await ask_addresses(monitor_, products[i], until);
    co_return addresses;
}

Task<Result<std::optional<Done>>> Engine::make_way(std::vector<Wish> wishes, Deadline until)
{
    for (const auto& wish : wishes) {
        const auto id = open_intent_of(store_->db(), domain_.id, wish.thing);
        if (!id) continue;
        auto unit = read_batch(store_->db(), *id);
        if (!unit) co_return std::move(unit).error();
        if (wants_the_same(wishes, *unit) && !XLSTORE_LEFT_OUT("own earlier intent")) {
            auto own = co_await take_over(wishes, *std::move(unit), until);
            if (!own || *own) co_return own;
            continue;
        }
        const std::string other =
            "an earlier " + std::string(request_name(unit->front().draft.verb)) +
            " of it, intent " + std::to_string(value_of(*id)) + ", which another request made, ";
        auto resolved = co_await resolve(*std::move(unit), until, Tray::given_up);
        if (!resolved) co_return std::move(resolved).error();
        if (resolved->open())
            co_return Error(Errc::refused,
                            domain_.subject() + ": " + wish.thing.text() + ": " + other +
                                "is still open: " + resolved->reason,
                            "nothing was changed; 'xlstore wait " + std::to_string(value_of(*id)) +
                                "' until that one is over, then try again");
    }
    co_return std::optional<Done>();
}

// An open intent of an older request for the same: what becomes of it is this one's answer.
// Nothing: it is closed as not done, and this one's turn comes.
Task<Result<std::optional<Done>>> Engine::take_over(const std::vector<Wish>& wishes,
                                                    std::vector<Intent> unit, Deadline until)
{
    Open open(domain_, unit.front().draft.verb, names_of(wishes));
    for (const auto& wish : wishes)
        for (const auto& intent : unit)
            if (wants_the_same(wish, intent.draft)) open.ids.push_back(intent.id);
    std::optional<Error> failure;
    try {
        if (unit.size() == 1 && unit.front().draft.verb != Verb::add && unit.front().asked_us) {
            auto again = co_await ask_again(std::move(unit.front()), wishes.front().force, until);
            if (!again) co_return std::move(again).error();
            co_return std::optional<Done>(*std::move(again));
        }
        auto resolved = co_await resolve(std::move(unit), until);
        if (resolved && resolved->resolution == Resolution::done) {
            Done done{std::move(open.ids), std::move(resolved->reason)};
            co_return std::optional<Done>(std::move(done));
        }
        if (resolved && !resolved->open()) co_return std::optional<Done>();
        failure = resolved ? Error(Errc::in_doubt, std::move(resolved->reason))
                           : std::move(resolved).error();
    } catch (...) {
        failure = caught();
    }
    if (failure->code == Errc::gone) co_return *std::move(failure);
    co_return open.in_doubt_of(*std::move(failure));
}

namespace {

// Back ends of an entry whose device is gone: an earlier plan of that same entry left them. What is
// whole, or in the guest, is the thing itself. A netdev is none: QEMU takes it out also from under
// a NIC that is not ours, where it refuses to take out any other back end that is in use (R11).
bool is_left_over(const std::vector<Product>& own, const std::vector<Product>& present)
{
    const auto whole = [&](const Product& p) { return is_fdset(p) || has_product(present, p); };
    return !present.empty() && !std::all_of(own.begin(), own.end(), whole) &&
           std::all_of(present.begin(), present.end(), [&](const Product& product) {
               return !is_device(product) && !is_netdev(product) && has_product(own, product);
           });
}

}  // namespace

// R16: an add finds nothing of the thing in QEMU, neither of its new image nor of the entry that is
// there, which may be made of something else.
Task<Result<void>> Engine::check_before_add(const Draft& draft, Deadline until)
{
    MadeOf made;
    if (const auto entry = read_thing(store_->db(), domain_.id, draft.thing))
        made = made_of(store_->db(), domain_.id, *entry);
    Probe both = draft.plan.probe;
    for (const auto& product : made.products)
        if (!has_product(both.products, product) && !XLSTORE_LEFT_OUT("products of the entry"))
            both.products.push_back(product);
    Evidence there = co_await look(monitor_, draft.verb, both, until);
    const bool left_over = is_left_over(made.products, there.present);
    if (left_over) {
        Asking no_device;
        there = co_await clear_up(draft.verb, both, std::move(there), no_device, until);
    }
    const std::string subject = domain_.subject() + ": " + draft.thing.text();
    const std::string changed =
        left_over ? "what its earlier plan had left was undone as far as QEMU let it, no more"
                  : "nothing was changed";
    // A descriptor set that nothing uses harms no later operation: QEMU drops it when the guest runs.
    if (!there.present.empty() && !XLSTORE_LEFT_OUT("probe before commit 1"))
        co_return Error(Errc::exists, subject + " cannot be added: " + there.reason,
                        changed + "; detach it first, or choose other ids");
    if (!there.image && !there.half)
        co_return Error(monitor_.usable() ? Errc::refused : Errc::protocol,
                        subject + ": " + there.reason, changed);
    co_return Result<void>();
}

// R16, before anything is written: a removal and a change find what the store knows of.
Task<Result<void>> Engine::check_before(Draft& draft, Deadline until)
{
    if (draft.verb == Verb::add) co_return co_await check_before_add(draft, until);
    const Evidence there = co_await look(monitor_, draft.verb, draft.plan.probe, until);
    const std::string subject = domain_.subject() + ": " + draft.thing.text();
    if (draft.verb == Verb::remove && there.half) {
        // Part of it is gone already: the plan takes out the rest.
        draft.plan.steps = removal_steps(there.present);
        co_return Result<void>();
    }
    if (!there.image) {
        if (there.medium && !draft.plan.probe.drive->after) {
            // Taking out a medium that the store does not know: the intent remembers what was
            // there.
            remember_medium(*draft.plan.probe.drive, there);
            co_return Result<void>();
        }
        co_return Error(there.medium || monitor_.usable() ? Errc::refused : Errc::protocol,
                        subject + ": " + there.reason,
                        there.medium ? "nothing was changed; eject it first, or let 'xlfsck -p' "
                                       "take it into the entry"
                                     : "nothing was changed");
    }
    if (draft.plan.probe.drive) remember_medium(*draft.plan.probe.drive, there);
    if (draft.verb != Verb::remove) co_return Result<void>();
    if (there.image == Image::after)
        draft.plan.steps.clear();
    else if (draft.plan.steps.empty())
        co_return Error(Errc::refused,
                        subject + " cannot be taken out by this version: " + there.reason,
                        "nothing was changed");
    co_return Result<void>();
}

// Undoes steps, last first, until one cannot be: what stands on something goes first. The guest is
// asked for each device of them. What went wrong; empty: nothing. In `undoing` is left what was not
// undone.
Task<std::string> Engine::take_back(std::vector<Undoing>& undoing, Asking& asking, Deadline until)
{
    std::string trouble;
    const auto tell = [&](const Error& error) {
        trouble += (trouble.empty() ? "" : "; ") + error.message;
    };
    std::vector<Undoing> left;
    bool stopped = false;
    for (auto it = undoing.rbegin(); it != undoing.rend(); ++it) {
        const bool asks = only_asks_the_guest(it->command);
        if (!asks && !asking.asked.empty()) (void)co_await await_guest(asking, until);
        if (stopped || !monitor_.usable() || (!asks && !asking.asked.empty())) {
            left.push_back(std::move(*it));
            continue;
        }
        auto undone = co_await undo(it->command, asking, until);
        if (undone) continue;
        tell(undone.error());
        stopped = true;
        left.push_back(std::move(*it));
    }
    if (auto gone = co_await await_guest(asking, until); !gone) tell(gone.error());
    undoing = std::move(left);
    co_return trouble;
}

Task<Engine::Carried> Engine::carry_out(std::vector<IntentId> intents, const Draft& whole,
                                        const std::vector<Fd>& files, std::vector<Product> asked,
                                        Deadline until)
{
    Carried carried;
    std::map<std::string, std::string> captured;
    std::vector<Undoing> undoing;
    bool broken = false;
    bool was_asked = false;
    bool said_no = false;  // the guest
    Asking asking{intents, std::move(asked)};
    monitor_.forget_unplugs();
    const auto& steps = whole.plan.steps;
    for (std::size_t i = 0; i < steps.size() && !carried.refusal; ++i) {
        const Step& step = steps[i];
        const bool asks = only_asks_the_guest(step.command);
        if (!asks && was_asked) {  // a device has to be gone before what it stands on
            auto gone = co_await await_guest(asking, until);
            said_no = !gone && gone.error().code == Errc::refused;
            if (said_no) carried.refusal = gone.error().message;
            if (!gone) continue;
        }
        const Command command{step.command.execute,
                              with_captured(step.command.arguments, captured)};
        auto reply = co_await send(command, until, files[i].get());
        if (!reply) {
            broken = true;
            carried.evidence.reason = reply.error().message;
            carried.unproved = whole.verb == Verb::add && !makes_something(step);
            break;
        }
        const auto device = asks ? device_of_removal(command.arguments) : Product{};
        // QEMU's no ("is already in the process of unplug") takes nothing back of what was asked.
        if (!reply->ok && !(asks && has_product(asking.asked, device))) {
            auto shut = Shut::no;
            if (opens_tray(step.command)) shut = co_await watch_tray(intents, whole, until);
            if (shut == Shut::opened) {
                --i;  // the same step again
                continue;
            }
            carried.refusal = shut == Shut::no
                                  ? qemu_said(step.command, *reply)
                                  : "the guest keeps the tray shut, and has been asked "
                                    "to open it";
            carried.tray_asked = shut != Shut::no;
            if (shut == Shut::waits) asking.asked.push_back(tray_of(whole.plan.probe));
            break;
        }
        if (!step.capture.empty()) {
            const auto value = json_minify(reply->value, "reply", limits::qmp_line_bytes_max);
            const auto id = value ? json_get_integer(*value, "fdset-id") : std::nullopt;
            if (!id) {  // later steps would name a set that there is not
                broken = true;
                carried.evidence.reason =
                    "QEMU's answer to " + command.execute + " names no descriptor set";
                break;
            }
            captured[step.capture] = std::to_string(*id);
        }
        if (step.undo)
            undoing.push_back(
                Undoing{Command{step.undo->execute, with_captured(step.undo->arguments, captured)},
                        makes_something(step)});
        if (!asks) continue;

        was_asked = true;
        if (auto noted = co_await note_asked(device, asking, until); !noted) {
            carried.evidence.reason = noted.error().message;
            co_return carried;
        }
    }
    if (was_asked && !broken) {
        auto gone = co_await await_guest(asking, until);
        said_no |= !gone && gone.error().code == Errc::refused;
        if (said_no && !gone) carried.refusal = gone.error().message;
    }
    const auto& products = whole.plan.probe.products;
    const bool sets_to_sweep =
        whole.verb == Verb::remove && std::any_of(products.begin(), products.end(), is_fdset);
    if (!broken && !carried.refusal && !was_asked && !sets_to_sweep) {
        carried.evidence.image = Image::after;
        carried.evidence.reason =
            steps.empty() ? "QEMU had nothing of it any more"
                          : "QEMU acknowledged each of " + std::to_string(steps.size()) + " steps";
        co_return carried;
    }
    std::string so_far = carried.evidence.reason;
    if (carried.refusal || broken) {
        const auto trouble = co_await take_back(undoing, asking, until);
        if (!trouble.empty()) so_far += (so_far.empty() ? "" : "; ") + trouble;
        carried.unproved |=
            std::any_of(undoing.begin(), undoing.end(), [](const Undoing& u) { return !u.shows; });
    }
    carried.asked = asking.asked;
    if (auto connected = co_await stay_connected(until); !connected) {
        carried.evidence.reason = so_far + "; " + connected.error().message;
        co_return carried;
    }
    carried.evidence = co_await look(monitor_, whole.verb, whole.plan.probe, look_deadline(until));
    // What the guest has been asked for, or said no to, is left to it.
    if (carried.evidence.half && !said_no && asking.asked.empty())
        carried.evidence = co_await clear_up(whole.verb, whole.plan.probe,
                                             std::move(carried.evidence), asking, until);
    trace_probed(domain_.id, intents, carried.evidence);
    carried.asked = asking.asked;
    if (!so_far.empty()) carried.evidence.reason += " (" + so_far + ")";
    co_return carried;
}

// An intent that another process closed while it was carried out (the slow lock was broken, R15):
// history says how.
Result<Done> Engine::closed_by_another(const Open& open)
{
    auto outcome = outcome_of_closed(store_->db(), open.ids.front());
    if (outcome) outcome->intents = open.ids;
    return outcome;
}

Task<Result<Done>> Engine::conclude(Open& open, Carried carried, Deadline until)
{
    if (open.verb == Verb::add && !carried.refusal && carried.evidence.image == Image::after)
        carried.addresses = co_await ask_where(open.ids, open.products, until);
    Evidence& found = carried.evidence;
    auto asked = still_there(carried.asked, found);
    const bool waits = !asked.empty();
    // A step was refused and yet all of it is there: what was undone is not gone, or the step that
    // was refused left no trace. Neither is what was asked for.
    const bool undone_is_there =
        open.verb == Verb::add && carried.refusal && found.image == Image::after;
    const bool unproved = carried.unproved && found.image != Image::after &&
                          !XLSTORE_LEFT_OUT("doubt of what is not proved");
    const bool stays_open = waits || undone_is_there || unproved || found.half || !found.image;
    std::string evidence = found.reason;
    if (carried.refusal) evidence = *carried.refusal + "; " + evidence;
    Result<void> written;
    if (stays_open) {
        std::optional<std::vector<Product>> seen;  // as it was, where nothing was seen
        if (found.image || found.half) seen = std::move(asked);
        written = co_await journal_.note(hold_, open.ids, evidence, std::move(seen),
                                         settle_deadline(until));
    } else
        written = co_await journal_.settle(hold_, open.ids, *found.image, evidence,
                                           carried.addresses, settle_deadline(until));
    if (!written && written.error().code == Errc::gone) {
        written.error().intent = value_of(open.ids.front());
        co_return std::move(written).error();
    }
    if (!written && !read_intent_subject(store_->db(), open.ids.front()))
        co_return closed_by_another(open);
    if (stays_open)
        store_->log(LogLevel::info, [&] {
            return "in doubt intent=" + std::to_string(value_of(open.ids.front())) +
                   " reason=" + json_shown(evidence);
        });
    if (waits) co_return open.in_doubt("asked, waiting for the guest: " + evidence);
    if (stays_open) co_return open.in_doubt(evidence);
    if (!written)
        co_return open.in_doubt(found.reason +
                                ", but that could not be settled: " + written.error().message);
    if (*found.image == Image::after) {
        Done done{std::move(open.ids), std::move(found.reason)};
        co_return done;
    }
    std::string what =
        domain_.subject() + ": " + open.things + ": " + carried.refusal.value_or(found.reason);
    if (*found.image == Image::neither) what += "; the drive is empty now";
    if (carried.tray_asked) what += ", which it may do at any time; the medium stays in it";
    co_return Error(Errc::refused, what,
                    *found.image == Image::neither ? "insert another image"
                    : carried.tray_asked ? "give it again with --wait, which waits for the "
                                           "guest, or with --force, which does not ask it"
                                         : "QEMU is as it was");
}

// The one way from commit 1 to the answer (R18): what is thrown on it leaves the intent open, and
// the answer is in doubt with its number. REQUIRES that this task was made before commit 1, and
// that `open` has the numbers when it is started.
Task<Result<Done>> Engine::see_through(Open& open, const Draft& whole, const std::vector<Fd>& files,
                                       Deadline until)
{
    Carried carried;
    Result<Done> ended = Error(Errc::in_doubt, {});
    std::optional<Error> failure;
    try {
        std::vector<Product> nothing;
        carried = co_await carry_out(open.ids, whole, files, std::move(nothing), until);
    } catch (...) {
        failure = caught();  // QEMU may have acted
    }
    try {
        if (failure) carried.evidence.reason = std::move(failure->message);
        failure.reset();
        ended = co_await conclude(open, std::move(carried), until);
    } catch (...) {
        failure = caught();
    }
    if (failure && XLSTORE_LEFT_OUT("doubt after commit 1")) co_return *std::move(failure);
    if (failure) co_return open.in_doubt_of(*std::move(failure));
    co_return ended;
}

Task<Result<Done>> Engine::operate(Draft draft, Deadline until)
{
    std::vector<Draft> alone;
    alone.push_back(std::move(draft));
    return operate(std::move(alone), until);
}

Task<Result<Done>> Engine::operate(std::vector<Draft> drafts, Deadline until)
{
    std::vector<Wish> wishes;
    for (const auto& draft : drafts)
        wishes.push_back(wish_of(draft));
    auto way = co_await make_way(std::move(wishes), until);
    if (!way) co_return std::move(way).error();
    if (*way) co_return **std::move(way);
    std::vector<Fd> files;  // of all drafts, in order
    for (auto& draft : drafts) {
        auto opened = co_await open_files(store_->loop(), draft.plan.steps, until);
        if (!opened) co_return std::move(opened).error();
        if (auto ok = co_await check_before(draft, until); !ok) co_return std::move(ok).error();
        // A removal's plan may be another by now; it has no images.
        opened->resize(draft.plan.steps.size());
        std::move(opened->begin(), opened->end(), std::back_inserter(files));
        XLSTORE_TRACE(
            "probed", value_of(domain_.id),
            "thing=" + draft.thing.text() + " verb=" + std::string(verb_name(draft.verb)));
    }
    const Draft whole = merged(drafts);
    Open open(domain_, whole.verb, names_of(drafts));
    for (const auto& draft : drafts)
        open.products.push_back(draft.plan.probe.products);
    auto rest = see_through(open, whole, files, until);
    auto intents =
        co_await journal_.open(hold_, std::move(drafts), domain_.registration->path, until);
    if (!intents) co_return std::move(intents).error();
    open.ids = *std::move(intents);
    co_return co_await std::move(rest);
}

Task<Result<Done>> Engine::ask_again(Intent intent, bool force, Deadline until)
{
    const Verb verb = intent.draft.verb;
    Open open(domain_, verb, intent.draft.thing.text());
    open.ids.push_back(intent.id);
    std::optional<Error> failure;
    try {
        Draft rest = std::move(intent.draft);
        Carried carried;
        carried.evidence = co_await look(monitor_, verb, rest.plan.probe, look_deadline(until));
        const Evidence& there = carried.evidence;
        const bool goes_on =
            verb == Verb::change ? there.image == Image::before : there.image || there.half;
        if (verb == Verb::remove) rest.plan.steps = removal_steps(there.present);
        rest.waits_for_tray = true;
        if (force) open_by_force(rest.plan);
        auto files = co_await open_files(store_->loop(), rest.plan.steps, until);
        if (!files) co_return open.in_doubt_of(std::move(files).error());
        if (goes_on)
            carried = co_await carry_out(open.ids, rest, *files, std::move(intent.asked), until);
        co_return co_await conclude(open, std::move(carried), until);
    } catch (...) {
        failure = caught();
    }
    co_return open.in_doubt_of(*std::move(failure));
}

Result<Done> outcome_of_closed(Db& db, IntentId id)
{
    const auto number = std::to_string(value_of(id));
    auto row = db.prepare(
                     "SELECT h.outcome, h.evidence, h.image IS NULL AND d.state IN ('destroying', "
                     "'destroyed') FROM history h LEFT JOIN domain d ON d.id = h.domain "
                     "WHERE h.intent = ? ORDER BY h.id DESC LIMIT 1")
                   .bind(value_of(id));
    if (!row.step())
        return Error(Errc::not_found, "there is no intent " + number + " in the store",
                     "it never was, or its history has been pruned");
    if (row.text(0) == "done") return Done{std::vector<IntentId>(1, id), row.text(1)};
    if (row.integer(2) != 0)
        return Error(Errc::gone, "intent " + number + " ended with its domain: " + row.text(1));
    return Error(Errc::refused, "intent " + number + " was closed as not done: " + row.text(1));
}

Error gone_if_destroyed(Store& store, DomainId domain, Error error) noexcept
{
    switch (error.code) {
    case Errc::invalid:
    case Errc::in_doubt:
    case Errc::order:
    case Errc::gone:
    case Errc::unfinished:
        return error;
    default:
        break;
    }
    try {
        const auto row = read_domain(store.db(), domain);
        if (row && row->state != DomainState::destroying && row->state != DomainState::destroyed)
            return error;
        return Error(Errc::gone,
                     (row ? row->subject() : std::string("the domain")) +
                         " was destroyed meanwhile, or is being destroyed (R8): " + error.message);
    } catch (const std::exception&) {
        return error;  // the store cannot say; what went wrong before does
    }
}

}  // namespace xlstore
