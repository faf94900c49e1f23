// SPDX-License-Identifier: MIT
#include "store/engine.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "store/address.hpp"
#include "store/hole.hpp"
#include "store/json_text.hpp"
#include "store/limits.hpp"
#include "store/probe.hpp"
#include "store/trace.hpp"

namespace xlstore {

namespace {

// What QEMU did must be written down even when QEMU used up the whole deadline.
constexpr auto kSettleGrace = std::chrono::seconds(5);
constexpr auto kGonePoll = std::chrono::milliseconds(100);
// A device lets go of what it stood on a moment after it is gone itself.
constexpr auto kReleaseWait = std::chrono::milliseconds(1500);
constexpr auto kReleasePoll = std::chrono::milliseconds(20);

Deadline settle_deadline(Deadline until)
{
    return std::max(until, Clock::now() + kSettleGrace);
}

Error in_doubt(const DomainRow& domain, IntentId intent, const std::string& what,
               const std::string& why)
{
    const auto number = std::to_string(value_of(intent));
    Error error(
        Errc::in_doubt, domain.subject() + ": " + what + " is in doubt: " + why,
        "intent " + number + " stays open: 'xlstore wait " + number + "', or 'xlstore recover'");
    error.intent = value_of(intent);
    return error;
}

Result<std::vector<Fd>> open_files(const std::vector<Step>& steps)
{
    std::vector<Fd> files;
    for (const auto& step : steps) {
        if (step.file.empty()) {
            files.emplace_back();
            continue;
        }
        // O_NONBLOCK: a FIFO or a dead device in the place of an image must not hang us here.
        const int access = step.writable ? O_RDWR : O_RDONLY;
        Fd fd(::open(step.file.c_str(), access | O_CLOEXEC | O_NONBLOCK));
        if (!fd)
            return Error(Errc::invalid,
                         "cannot open " + json_shown(step.file) + ": " + std::strerror(errno),
                         "nothing was changed; name an image that can be read");
        struct stat st {};
        if (fstat(fd.get(), &st) != 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
            return Error(Errc::invalid,
                         json_shown(step.file) + " is neither a file nor a block device",
                         "nothing was changed; name an image that can be read");
        files.push_back(std::move(fd));
    }
    return files;
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

}  // namespace

namespace {

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

}  // namespace

bool waits_for_guest(const Intent& intent, const Evidence& found)
{
    return intent.asked_us && std::any_of(found.present.begin(), found.present.end(), is_device);
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

std::string names_of(const std::vector<Intent>& intents)
{
    std::string names;
    for (const auto& intent : intents)
        names += (names.empty() ? "" : ", ") + intent.draft.thing.text();
    return names;
}

std::vector<IntentId> ids_of(const std::vector<Intent>& intents)
{
    std::vector<IntentId> ids;
    for (const auto& intent : intents)
        ids.push_back(intent.id);
    return ids;
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

// How far a plan got.
struct Engine::Carried {
    Evidence evidence;
    std::optional<std::string> refusal;  // QEMU's or the guest's, with the steps before it undone
    bool refused_by_guest = false;
    bool asked = false;     // the guest has been asked, and may let go at any time
    bool unproved = false;  // a step that makes nothing may not be undone: no probe sees it
    Addresses addresses;    // where QEMU put what was added
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
                        row->subject() + " is still being created, and nobody is at it any more",
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
    // R15: while nobody was connected, a successor may have begun, and what is in QEMU may be its
    // own. Asked now that no successor can be connected, the answer lasts as long as this does.
    if (auto ours = journal_.still_held(hold_); !ours) co_return ours;
    XLSTORE_TRACE("connected", value_of(domain_.id));
    monitor_ = *std::move(monitor);
    co_return Result<void>();
}

Task<Engine::Unplug> Engine::watch_unplug(Product device, Deadline until)
{
    Probe probe;
    probe.products.push_back(device);
    bool refused = false;
    for (;;) {
        const auto evidence = co_await look(monitor_, Verb::remove, probe, settle_deadline(until));
        if (!evidence.image) co_return Unplug::unknown;
        if (*evidence.image == Image::after) co_return Unplug::gone;
        if (refused) co_return Unplug::refused;
        if (Clock::now() >= until) co_return Unplug::waits;
        // The event only says that it is worth looking again.
        const auto event = co_await monitor_.wait_for_unplug(
            device.name, std::min(until, Clock::now() + kGonePoll));
        refused = event && *event == qmp::kUnplugRefused;
    }
}

Task<Result<qmp::Reply>> Engine::send(Command command, Deadline until, int file_descriptor)
{
    monitor_.forget_unplugs();
    const auto patience = Clock::now() + kReleaseWait;
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

// One command that takes something out; a device has to be gone before what it stands on can go.
Task<Result<void>> Engine::undo(Command command, Deadline until)
{
    if (XLSTORE_LEFT_OUT("undo")) co_return Result<void>();
    auto reply = co_await send(command, settle_deadline(until), -1);
    if (!reply) co_return std::move(reply).error();
    if (!reply->ok) co_return Error(Errc::refused, qemu_said(command, *reply));
    if (!only_asks_the_guest(command)) co_return Result<void>();
    const auto device = device_of_removal(command.arguments);
    const auto became =
        co_await watch_unplug(device, std::min(until, Clock::now() + limits::guest_unplug_wait));
    if (became != Unplug::gone)
        co_return Error(Errc::in_doubt, "the guest still has " + json_shown(device.name));
    co_return Result<void>();
}

// Takes products out, last first.
Task<Result<void>> Engine::take_out(const std::vector<Product>& products, Deadline until)
{
    for (auto it = products.rbegin(); it != products.rend(); ++it) {
        if (!it->undo)
            co_return Error(Errc::refused, "nothing is known to take out " + it->kind + " " +
                                               json_shown(it->name));
        auto out = co_await undo(*it->undo, until);
        if (!out) co_return out;
    }
    co_return Result<void>();
}

// Half done: undoes what the intent itself left, then looks again. Never the rest of a plan.
Task<Evidence> Engine::clear_up(Verb verb, const Probe& probe, Evidence evidence, Deadline until)
{
    std::string trouble;
    bool asked = false;
    if (!evidence.present.empty()) {
        auto out = co_await take_out(evidence.present, until);
        if (!out) trouble = out.error().message;
        asked = !out && out.error().code == Errc::in_doubt;
        evidence = co_await look(monitor_, verb, probe, settle_deadline(until));
    }
    if (!evidence.leftover_fdsets.empty()) {
        std::vector<std::int64_t> removed;
        for (const auto fdset : evidence.leftover_fdsets) {
            const Command remove{"remove-fd", "{\"fdset-id\":" + std::to_string(fdset) + "}"};
            auto out = co_await undo(remove, until);
            if (out)
                removed.push_back(fdset);
            else
                trouble = out.error().message;
        }
        evidence = co_await look(monitor_, verb, probe, settle_deadline(until));
        // A paused QEMU lists a removed set until its guest runs again.
        std::erase_if(evidence.leftover_fdsets, [&](std::int64_t id) {
            return std::find(removed.begin(), removed.end(), id) != removed.end();
        });
        if (evidence.image) evidence.half = !evidence.leftover_fdsets.empty();
    }
    evidence.asked = asked && !evidence.present.empty();
    if (!trouble.empty()) evidence.reason += "; " + trouble;
    co_return evidence;
}

Task<Result<Resolved>> Engine::resolve(std::vector<Intent> intents, Deadline until)
{
    const Intent& first = intents.front();
    const Verb verb = first.draft.verb;
    const Probe probe = probe_of(intents);
    Evidence found = co_await look(monitor_, verb, probe, until);
    trace_probed(domain_.id, ids_of(intents), found);
    bool asked = waits_for_guest(first, found);
    if (found.half && !asked) {
        found = co_await clear_up(verb, probe, std::move(found), until);
        trace_probed(domain_.id, ids_of(intents), found);
        asked = found.asked;
    }
    if (intents.size() > 1 && found.image == Image::before)
        found.reason += "; none of a batch of " + std::to_string(intents.size()) + " is left";

    if (asked || found.half || !found.image) {
        Resolved open{asked        ? Resolution::waits
                      : found.half ? Resolution::stuck
                                   : Resolution::in_doubt,
                      found.reason};
        if (first.note != open.reason) {
            auto noted = co_await journal_.note(hold_, ids_of(intents), open.reason, asked,
                                                settle_deadline(until));
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
        addresses = co_await ask_where(intents, until);
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
Task<Addresses> Engine::ask_where(const std::vector<Intent>& intents, Deadline until)
{
    Addresses addresses;
    for (const auto& intent : intents)
        addresses[intent.id] =
            co_await ask_addresses(monitor_, intent.draft.plan.probe.products, until);
    co_return addresses;
}

Task<Result<void>> Engine::make_way(ThingName thing, Deadline until)
{
    const auto id = open_intent_of(store_->db(), domain_.id, thing);
    if (!id) co_return Result<void>();
    auto intents = read_batch(store_->db(), *id);
    if (!intents) co_return std::move(intents).error();
    auto resolved = co_await resolve(*std::move(intents), until);
    if (!resolved) co_return std::move(resolved).error();
    if (resolved->open())
        co_return in_doubt(domain_, *id, thing.text(),
                           "an earlier operation on it is still open: " + resolved->reason);
    co_return Result<void>();
}

// R16, before anything is written: an add finds nothing of the thing in QEMU, a removal and a
// change find what the store knows of.
Task<Result<void>> Engine::check_before(Draft& draft, Deadline until)
{
    Evidence there = co_await look(monitor_, draft.verb, draft.plan.probe, until);
    const auto entry = read_thing(store_->db(), domain_.id, draft.thing);
    if (draft.verb == Verb::add && !there.present.empty() && there.half && entry) {
        // What an earlier plan of this same entry left behind is undone first; nothing else is.
        const auto own = read_products(store_->db(), entry->id);
        const bool all_own =
            std::all_of(there.present.begin(), there.present.end(), [&](const Product& p) {
                return std::any_of(own.begin(), own.end(), [&](const Product& o) {
                    return o.kind == p.kind && o.name == p.name;
                });
            });
        if (all_own)
            there = co_await clear_up(draft.verb, draft.plan.probe, std::move(there), until);
    }
    const std::string subject = domain_.subject() + ": " + draft.thing.text();
    // A descriptor set that nothing uses is in nobody's way: QEMU drops it when the guest runs.
    if (draft.verb == Verb::add && !there.present.empty() &&
        !XLSTORE_LEFT_OUT("probe before commit 1"))
        co_return Error(Errc::exists, subject + " cannot be added: " + there.reason,
                        "nothing was changed; detach it first, or choose other ids");
    if (draft.verb == Verb::remove && there.half) {
        // Part of it is gone already: the plan takes out the rest.
        draft.plan.steps = removal_steps(there.present);
        co_return Result<void>();
    }
    if (!there.image) {
        if (there.medium && !draft.plan.probe.drive->after) {
            // Taking out a medium that the store does not know: the intent remembers what was
            // there.
            draft.plan.probe.drive->seen = there.medium;
            co_return Result<void>();
        }
        co_return Error(there.medium || monitor_.usable() ? Errc::refused : Errc::protocol,
                        subject + ": " + there.reason,
                        there.medium ? "nothing was changed; eject it first, or run xlfsck"
                                     : "nothing was changed");
    }
    if (draft.plan.probe.drive) draft.plan.probe.drive->seen = there.medium;
    if (draft.verb == Verb::remove && there.image == Image::after) draft.plan.steps.clear();
    co_return Result<void>();
}

Task<Engine::Carried> Engine::carry_out(std::vector<IntentId> intents, const Draft& whole,
                                        const std::vector<Fd>& files, Deadline until)
{
    Carried carried;
    std::map<std::string, std::string> captured;
    struct Undoing {
        Command command;
        bool shows;  // what it undoes is something that a probe sees
    };
    std::vector<Undoing> undoing;
    bool broken = false;
    bool left_to_guest = false;
    const auto& steps = whole.plan.steps;
    for (std::size_t i = 0; i < steps.size() && !left_to_guest; ++i) {
        const Step& step = steps[i];
        const Command command{step.command.execute,
                              with_captured(step.command.arguments, captured)};
        auto reply = co_await send(command, until, files[i].get());
        if (!reply) {
            broken = true;
            carried.evidence.reason = reply.error().message;
            carried.unproved = whole.verb == Verb::add && !makes_something(step);
            break;
        }
        if (!reply->ok) {
            carried.refusal = qemu_said(step.command, *reply);
            carried.asked = false;
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
        if (!only_asks_the_guest(step.command)) continue;

        carried.asked = true;
        const auto device = device_of_removal(step.command.arguments);
        auto became = co_await watch_unplug(device, Clock::now());  // USB devices go at once
        if (became == Unplug::waits) {
            // Written down before the wait: killed in it, nobody could tell that it was asked.
            auto noted = co_await journal_.note(
                hold_, intents, "the guest has been asked to let go of " + json_shown(device.name),
                true, settle_deadline(until));
            if (!noted) {
                carried.evidence.reason = noted.error().message;
                co_return carried;
            }
            became = co_await watch_unplug(
                device, std::min(until, Clock::now() + limits::guest_unplug_wait));
        }
        left_to_guest = became != Unplug::gone;
        if (became == Unplug::refused) {
            carried.refusal = "the guest refused to let go of device " + json_shown(device.name);
            carried.refused_by_guest = true;
            carried.asked = false;
        }
    }
    const auto& products = whole.plan.probe.products;
    const bool sets_to_sweep =
        whole.verb == Verb::remove && std::any_of(products.begin(), products.end(), is_fdset);
    if (!broken && !carried.refusal && !carried.asked && !sets_to_sweep) {
        carried.evidence.image = Image::after;
        carried.evidence.reason =
            steps.empty() ? "QEMU had nothing of it any more"
                          : "QEMU acknowledged each of " + std::to_string(steps.size()) + " steps";
        co_return carried;
    }
    std::string so_far = carried.evidence.reason;
    if (carried.refusal || broken) {
        // The rest is undone only while the last one was: what stands on something goes first.
        while (!undoing.empty() && monitor_.usable()) {
            const auto last = std::move(undoing.back());
            auto undone = co_await undo(last.command, until);
            if (!undone) {
                so_far += (so_far.empty() ? "" : "; ") + undone.error().message;
                left_to_guest = carried.asked = undone.error().code == Errc::in_doubt;
                break;
            }
            undoing.pop_back();
        }
        carried.unproved |=
            std::any_of(undoing.begin(), undoing.end(), [](const Undoing& u) { return !u.shows; });
    }
    if (auto connected = co_await stay_connected(until); !connected) {
        carried.evidence.reason = so_far + "; " + connected.error().message;
        co_return carried;
    }
    carried.evidence =
        co_await look(monitor_, whole.verb, whole.plan.probe, settle_deadline(until));
    if (carried.evidence.half && !left_to_guest)
        carried.evidence =
            co_await clear_up(whole.verb, whole.plan.probe, std::move(carried.evidence), until);
    trace_probed(domain_.id, intents, carried.evidence);
    carried.asked |= carried.evidence.asked;
    if (!so_far.empty()) carried.evidence.reason += " (" + so_far + ")";
    co_return carried;
}

Task<Result<Done>> Engine::conclude(std::vector<IntentId> ids, Verb verb, Carried carried,
                                    Deadline until)
{
    // First of all: a destruction while QEMU is asked has taken the intent, and says so below.
    if (verb == Verb::add && !carried.refusal && carried.evidence.image == Image::after)
        if (const auto added = read_batch(store_->db(), ids.front()))
            carried.addresses = co_await ask_where(*added, until);
    auto intents = read_batch(store_->db(), ids.front());
    if (!intents) {
        if (auto ours = journal_.still_held(hold_); !ours) co_return std::move(ours).error();
        co_return Error(Errc::lost,
                        domain_.subject() + ": intent " + std::to_string(value_of(ids.front())) +
                            " was closed by somebody else while it was carried out",
                        "'xlstore history' says what was seen of it");
    }
    const std::string things = names_of(*intents);
    const Evidence& found = carried.evidence;
    std::string trouble;
    const auto still_there = verb == Verb::remove ? Image::before : Image::after;
    const bool waits = carried.asked && (found.half || found.image == still_there);
    // A step was refused and yet all of it is there: what was undone is not gone, or the step that
    // was refused left no trace. Neither is what was asked for.
    const bool undone_is_there =
        verb == Verb::add && carried.refusal && found.image == Image::after;
    const bool unproved = carried.unproved && found.image != Image::after;
    const bool open = waits || undone_is_there || unproved || found.half || !found.image;
    std::string evidence = found.reason;
    if (carried.refusal) evidence = *carried.refusal + "; " + evidence;
    Result<void> written;
    try {
        if (open)
            written = co_await journal_.note(hold_, ids, evidence, waits, settle_deadline(until));
        else
            written = co_await journal_.settle(hold_, ids, *found.image, evidence,
                                               carried.addresses, settle_deadline(until));
    } catch (const std::exception& e) {
        // QEMU acted and the store could not be told: the intent, committed before, tells recovery.
        trouble = e.what();
    }
    if (!written) trouble = written.error().message;
    if (open)
        store_->log(LogLevel::info, "in doubt intent=" + std::to_string(value_of(ids.front())) +
                                        " reason=" + json_shown(evidence));
    if (waits)
        co_return in_doubt(domain_, ids.front(), things,
                           "asked, waiting for the guest: " + evidence);
    if (open) co_return in_doubt(domain_, ids.front(), things, evidence);
    if (!trouble.empty())
        co_return in_doubt(domain_, ids.front(), things,
                           found.reason + ", but that could not be settled: " + trouble);
    if (*found.image == Image::after) co_return Done{std::move(ids), found.reason};
    std::string what =
        domain_.subject() + ": " + things + ": " + carried.refusal.value_or(found.reason);
    if (*found.image == Image::neither) what += "; the drive is empty now";
    co_return Error(Errc::refused, what,
                    *found.image == Image::neither ? "insert another image" : "QEMU is as it was");
}

Task<Result<Done>> Engine::operate(Draft draft, Deadline until)
{
    std::vector<Draft> alone;
    alone.push_back(std::move(draft));
    return operate(std::move(alone), until);
}

Task<Result<Done>> Engine::operate(std::vector<Draft> drafts, Deadline until)
{
    for (auto& draft : drafts) {
        if (auto way = co_await make_way(draft.thing, until); !way)
            co_return std::move(way).error();
        if (auto readable = open_files(draft.plan.steps); !readable)
            co_return std::move(readable).error();
        if (auto ok = co_await check_before(draft, until); !ok) co_return std::move(ok).error();
        XLSTORE_TRACE(
            "probed", value_of(domain_.id),
            "thing=" + draft.thing.text() + " verb=" + std::string(verb_name(draft.verb)));
        if (draft.verb == Verb::add)
            if (const auto replaced = read_thing(store_->db(), domain_.id, draft.thing))
                draft.image_stale = replaced->json;
    }
    const Draft whole = merged(drafts);
    auto files = open_files(whole.plan.steps);
    if (!files) co_return std::move(files).error();
    const Verb verb = whole.verb;
    auto intents =
        co_await journal_.open(hold_, std::move(drafts), domain_.registration->path, until);
    if (!intents) co_return std::move(intents).error();

    Carried carried;
    try {
        carried = co_await carry_out(*intents, whole, *files, until);
    } catch (const std::exception& e) {
        carried.evidence.reason = e.what();  // QEMU may have acted: the intent stays open
    }
    co_return co_await conclude(*std::move(intents), verb, std::move(carried), until);
}

Task<Result<Done>> Engine::ask_again(Intent intent, Deadline until)
{
    const auto there =
        co_await look(monitor_, Verb::remove, intent.draft.plan.probe, settle_deadline(until));
    Draft rest = std::move(intent.draft);
    rest.plan.steps = removal_steps(there.present);
    const std::vector<Fd> no_files(rest.plan.steps.size());
    std::vector<IntentId> ids(1, intent.id);
    Carried carried;
    if (there.image || there.half)
        carried = co_await carry_out(ids, rest, no_files, until);
    else
        carried.evidence = there;
    // QEMU's no ("is already in the process of unplug") takes nothing back of what was asked.
    if (carried.refusal && !carried.refused_by_guest) carried.asked = true;
    co_return co_await conclude(std::move(ids), Verb::remove, std::move(carried), until);
}

}  // namespace xlstore
