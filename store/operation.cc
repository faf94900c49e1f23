// SPDX-License-Identifier: MIT
#include "store/operation.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

#include "store/class_plan.hpp"
#include "store/device_class.hpp"
#include "store/json_text.hpp"
#include "store/limits.hpp"
#include "store/probe.hpp"

namespace xlstore {

namespace {

// What QEMU did must be written down even when QEMU used up the whole deadline.
constexpr auto kSettleGrace = std::chrono::seconds(5);
constexpr auto kGonePoll = std::chrono::milliseconds(100);

Deadline settle_deadline(Deadline until)
{
    return std::max(until, Clock::now() + kSettleGrace);
}

Error in_doubt(const DomainRow& domain, IntentId intent, const ThingName& thing,
               const std::string& why)
{
    const auto number = std::to_string(value_of(intent));
    Error error(
        Errc::in_doubt, domain.subject() + ": " + thing.text() + " is in doubt: " + why,
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
        Fd fd(::open(step.file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
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
    for (const auto& [name, value] : captured)
        for (const std::string& placeholder : {"\"$" + name + "\"", "$" + name})
            for (auto at = arguments.find(placeholder); at != std::string::npos;
                 at = arguments.find(placeholder, at + value.size()))
                arguments.replace(at, placeholder.size(), value);
    return arguments;
}

bool only_asks_the_guest(const Command& command)
{
    return command.execute == "device_del";
}

std::string qemu_said(const Command& command, const qmp::Reply& reply)
{
    return "QEMU refused " + command.execute + ": " + qmp::printable(reply.error_desc);
}

}  // namespace

bool waits_for_guest(const Intent& intent, const Evidence& found)
{
    return intent.draft.verb == Verb::remove && intent.asked_us &&
           std::any_of(found.present.begin(), found.present.end(),
                       [](const Product& p) { return p.kind == "device"; });
}

// How far a plan got.
struct Engine::Carried {
    Evidence evidence;
    std::optional<std::string> refusal;  // QEMU's, with the steps before it undone
    bool asked = false;                  // a device_del was acknowledged
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
    co_return Engine(store, *std::move(row), std::move(hold), *std::move(monitor));
}

Task<Result<void>> Engine::reconnect(Deadline until)
{
    auto monitor = co_await qmp::Monitor::connect(store_->loop(), *domain_.registration,
                                                  domain_.subject(), until);
    if (!monitor) co_return std::move(monitor).error();
    monitor_ = *std::move(monitor);
    co_return Result<void>();
}

Task<bool> Engine::wait_until_gone(std::string device, Deadline until)
{
    Probe probe;
    probe.products.push_back(Product{"device", device, std::nullopt});
    for (;;) {
        const auto evidence = co_await look(monitor_, Verb::remove, probe, settle_deadline(until));
        if (!evidence.image) co_return false;
        if (*evidence.image == Image::after) co_return true;
        if (Clock::now() >= until) co_return false;
        // The event only says that it is worth looking again.
        (void)co_await monitor_.wait_for_event("DEVICE_DELETED", device,
                                               std::min(until, Clock::now() + kGonePoll));
    }
}

// Takes products out, last first; each has to be gone before what it stands on can go.
Task<Result<void>> Engine::take_out(const std::vector<Product>& products, Deadline until)
{
    for (auto it = products.rbegin(); it != products.rend(); ++it) {
        if (!it->undo)
            co_return Error(Errc::refused, "nothing is known to take out " + it->kind + " " +
                                               json_shown(it->name));
        const Command undo = *it->undo;
        auto reply =
            co_await monitor_.execute(undo.execute, undo.arguments, settle_deadline(until));
        if (!reply) co_return std::move(reply).error();
        if (!reply->ok) co_return Error(Errc::refused, qemu_said(undo, *reply));
        if (only_asks_the_guest(undo) &&
            !co_await wait_until_gone(it->name,
                                      std::min(until, Clock::now() + limits::guest_unplug_wait)))
            co_return Error(Errc::in_doubt, "the guest still has " + json_shown(it->name));
    }
    co_return Result<void>();
}

// Half done: undoes what the intent itself left, then looks again. Never the rest of a plan.
Task<Evidence> Engine::clear_up(Verb verb, const Probe& probe, Evidence evidence, Deadline until)
{
    std::string trouble;
    std::vector<std::int64_t> removed;
    for (const auto fdset : evidence.leftover_fdsets) {
        auto reply = co_await monitor_.execute(
            "remove-fd", "{\"fdset-id\":" + std::to_string(fdset) + "}", settle_deadline(until));
        if (!reply)
            trouble = reply.error().message;
        else if (reply->ok)
            removed.push_back(fdset);
    }
    if (!evidence.present.empty()) {
        auto out = co_await take_out(evidence.present, until);
        if (!out) trouble = out.error().message;
    }
    Evidence again = co_await look(monitor_, verb, probe, settle_deadline(until));
    // A paused QEMU lists a removed set until its guest runs again.
    std::erase_if(again.leftover_fdsets, [&](std::int64_t id) {
        return std::find(removed.begin(), removed.end(), id) != removed.end();
    });
    if (probe.drive) again.half = !again.leftover_fdsets.empty();
    if (!trouble.empty()) again.reason += "; " + trouble;
    co_return again;
}

Task<Result<Resolved>> Engine::resolve(Intent intent, Deadline until)
{
    const Draft& draft = intent.draft;
    Evidence found = co_await look(monitor_, draft.verb, draft.plan.probe, until);
    const bool asked = waits_for_guest(intent, found);
    if (found.half && !asked)
        found = co_await clear_up(draft.verb, draft.plan.probe, std::move(found), until);

    if (asked || found.half || !found.image) {
        Resolved open{asked ? Resolution::waits : Resolution::in_doubt, found.reason};
        if (intent.note != open.reason) {
            auto noted = co_await journal_.note(hold_, intent.id, open.reason, false,
                                                settle_deadline(until));
            if (!noted) co_return std::move(noted).error();
        }
        co_return open;
    }
    auto settled = co_await journal_.settle(hold_, intent.id, *found.image, found.reason,
                                            settle_deadline(until));
    if (!settled) co_return std::move(settled).error();
    Resolved closed{*found.image == Image::after    ? Resolution::done
                    : *found.image == Image::before ? Resolution::undone
                                                    : Resolution::emptied,
                    found.reason};
    co_return closed;
}

Task<Result<void>> Engine::make_way(ThingName thing, Deadline until)
{
    const auto id = open_intent_of(store_->db(), domain_.id, thing);
    if (!id) co_return Result<void>();
    auto intent = read_intent(store_->db(), *id);
    if (!intent) co_return std::move(intent).error();
    auto resolved = co_await resolve(*std::move(intent), until);
    if (!resolved) co_return std::move(resolved).error();
    if (resolved->resolution == Resolution::waits || resolved->resolution == Resolution::in_doubt)
        co_return in_doubt(domain_, *id, thing,
                           "an earlier operation on it is still open: " + resolved->reason);
    co_return Result<void>();
}

// R16, before anything is written: an add finds nothing of the thing in QEMU, a removal and a
// change find what the store knows of.
Task<Result<void>> Engine::check_before(Draft& draft, Deadline until)
{
    Evidence there = co_await look(monitor_, draft.verb, draft.plan.probe, until);
    const auto entry = read_thing(store_->db(), domain_.id, draft.thing);
    if (draft.verb == Verb::add && there.half && entry) {
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
    if (draft.verb == Verb::add && (there.half || there.image == Image::after))
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

Task<Engine::Carried> Engine::carry_out(const Draft& draft, const std::vector<Fd>& files,
                                        Deadline until)
{
    Carried carried;
    std::map<std::string, std::string> captured;
    const auto& steps = draft.plan.steps;
    std::size_t done = 0;
    bool broken = false;
    bool left_to_guest = false;
    for (; done < steps.size() && !left_to_guest; ++done) {
        const Step& step = steps[done];
        auto reply = co_await monitor_.execute(step.command.execute,
                                               with_captured(step.command.arguments, captured),
                                               until, files[done].get());
        if (!reply) {
            broken = true;
            carried.evidence.reason = reply.error().message;
            break;
        }
        if (!reply->ok) {
            carried.refusal = qemu_said(step.command, *reply);
            break;
        }
        if (!step.capture.empty()) {
            const auto value = json_minify(reply->value, "reply", limits::qmp_line_bytes_max);
            const auto id = value ? json_get_integer(*value, "fdset-id") : std::nullopt;
            if (id) captured[step.capture] = std::to_string(*id);
        }
        if (only_asks_the_guest(step.command)) {
            carried.asked = true;
            const auto device = json_get_string(step.command.arguments, "id").value_or("");
            left_to_guest = !co_await wait_until_gone(
                device, std::min(until, Clock::now() + limits::guest_unplug_wait));
        }
    }
    if (!broken && !carried.refusal && !carried.asked) {
        carried.evidence.image = Image::after;
        carried.evidence.reason =
            steps.empty() ? "QEMU had nothing of it any more"
                          : "QEMU acknowledged each of " + std::to_string(steps.size()) + " steps";
        co_return carried;
    }
    if (carried.refusal) {
        for (std::size_t i = done; i-- > 0;) {
            if (!steps[i].undo) continue;
            const Command undo = *steps[i].undo;
            auto reply = co_await monitor_.execute(
                undo.execute, with_captured(undo.arguments, captured), settle_deadline(until));
            if (!reply) break;  // the probe below says what is there
        }
    }
    const std::string so_far = carried.evidence.reason;
    if (!monitor_.usable()) {
        auto again = co_await reconnect(until);
        if (!again) {
            carried.evidence.reason = so_far + "; " + again.error().message;
            co_return carried;
        }
    }
    carried.evidence =
        co_await look(monitor_, draft.verb, draft.plan.probe, settle_deadline(until));
    if (carried.evidence.half && !left_to_guest)
        carried.evidence =
            co_await clear_up(draft.verb, draft.plan.probe, std::move(carried.evidence), until);
    if (!so_far.empty()) carried.evidence.reason += " (" + so_far + ")";
    co_return carried;
}

Task<Result<Done>> Engine::conclude(IntentId id, Verb verb, Carried carried, Deadline until)
{
    auto intent = read_intent(store_->db(), id);
    if (!intent)
        co_return Error(Errc::lost,
                        domain_.subject() + ": intent " + std::to_string(value_of(id)) +
                            " was closed by somebody else while it was carried out",
                        "'xlstore history' says what was seen of it");
    const ThingName thing = intent->draft.thing;
    const Evidence& found = carried.evidence;
    std::string trouble;
    const bool waits =
        verb == Verb::remove && carried.asked && (found.half || found.image == Image::before);
    // A step was refused and yet all of it is there: what was undone is not gone, or the step that
    // was refused left no trace. Neither is what was asked for.
    const bool undone_is_there =
        verb == Verb::add && carried.refusal && found.image == Image::after;
    const bool open = waits || undone_is_there || found.half || !found.image;
    std::string evidence = found.reason;
    if (carried.refusal) evidence = *carried.refusal + "; " + evidence;
    Result<void> written;
    try {
        if (open)
            written = co_await journal_.note(hold_, id, evidence, waits, settle_deadline(until));
        else
            written =
                co_await journal_.settle(hold_, id, *found.image, evidence, settle_deadline(until));
    } catch (const std::exception& e) {
        // QEMU acted and the store could not be told: the intent, committed before, tells recovery.
        trouble = e.what();
    }
    if (!written) trouble = written.error().message;
    if (open)
        store_->log(LogLevel::info, "in doubt intent=" + std::to_string(value_of(id)) +
                                        " reason=" + json_shown(found.reason));
    if (waits)
        co_return in_doubt(domain_, id, thing, "asked, waiting for the guest: " + found.reason);
    if (open) co_return in_doubt(domain_, id, thing, found.reason);
    if (!trouble.empty())
        co_return in_doubt(domain_, id, thing,
                           found.reason + ", but that could not be settled: " + trouble);
    if (*found.image == Image::after) co_return Done{id, found.reason};
    const std::string subject = domain_.subject() + ": " + thing.text() + ": ";
    std::string what = subject + carried.refusal.value_or(found.reason);
    if (*found.image == Image::neither) what += "; the drive is empty now";
    co_return Error(Errc::refused, what,
                    *found.image == Image::neither ? "insert another image" : "QEMU is as it was");
}

Task<Result<Done>> Engine::operate(Draft draft, Deadline until)
{
    if (auto way = co_await make_way(draft.thing, until); !way) co_return std::move(way).error();
    auto files = open_files(draft.plan.steps);
    if (!files) co_return std::move(files).error();
    if (auto ok = co_await check_before(draft, until); !ok) co_return std::move(ok).error();
    files->resize(draft.plan.steps.size());

    if (draft.verb == Verb::add)
        if (const auto replaced = read_thing(store_->db(), domain_.id, draft.thing))
            draft.image_stale = replaced->json;
    std::vector<Draft> drafts;
    drafts.push_back(draft);
    auto intents =
        co_await journal_.open(hold_, std::move(drafts), domain_.registration->path, until);
    if (!intents) co_return std::move(intents).error();

    Carried carried;
    try {
        carried = co_await carry_out(draft, *files, until);
    } catch (const std::exception& e) {
        carried.evidence.reason = e.what();  // QEMU may have acted: the intent stays open
    }
    co_return co_await conclude(intents->front(), draft.verb, std::move(carried), until);
}

namespace {

// Slow lock, connection, then the draft from the entry as it stands under them.
template <class MakeDraft>
Task<Result<Done>> run(Store& store, DomainRow domain, std::string operation, ThingName thing,
                       bool needs_entry, MakeDraft make_draft, Deadline until)
{
    auto engine = co_await Engine::begin(store, std::move(domain), std::move(operation), until);
    if (!engine) co_return std::move(engine).error();
    if (auto way = co_await engine->make_way(thing, until); !way) co_return std::move(way).error();
    const auto entry = read_thing(store.db(), engine->domain().id, thing);
    if (needs_entry && !entry)
        co_return Error(Errc::not_found, engine->domain().subject() + " has no " + thing.text(),
                        "'xlstore things DOM' shows what it has");
    Result<Draft> draft = make_draft(entry);
    if (!draft) co_return std::move(draft).error();
    co_return co_await engine->operate(*std::move(draft), until);
}

}  // namespace

// What a vcpu is made of is QEMU's to say, so its draft is made when QEMU can be asked.
Task<Result<Done>> attach_vcpu(Store& store, DomainRow domain, std::string json, Deadline until)
{
    auto engine = co_await Engine::begin(store, std::move(domain), "attach vcpus", until);
    if (!engine) co_return std::move(engine).error();
    auto slots = co_await ask(engine->monitor(), "query-hotpluggable-cpus", "", until);
    if (!slots) co_return std::move(slots).error();
    auto draft = draft_attach_vcpu(json, *slots);
    if (!draft) co_return std::move(draft).error();
    co_return co_await engine->operate(*std::move(draft), until);
}

Task<Result<Done>> attach(Store& store, DomainRow domain, std::string device_class,
                          std::string json, Deadline until)
{
    if (device_class == "vcpus")
        co_return co_await attach_vcpu(store, std::move(domain), std::move(json), until);
    auto draft = draft_attach(device_class, json);
    if (!draft) co_return std::move(draft).error();
    const ThingName thing = draft->thing;
    co_return co_await run(
        store, std::move(domain), "attach " + thing.text(), thing, false,
        [&](const std::optional<ThingRow>&) { return Result<Draft>(*std::move(draft)); }, until);
}

Task<Result<Done>> detach(Store& store, DomainRow domain, ThingName thing, Deadline until)
{
    co_return co_await run(
        store, std::move(domain), "detach " + thing.text(), thing, true,
        [&](const std::optional<ThingRow>& entry) {
            return draft_detach(*entry, read_products(store.db(), entry->id));
        },
        until);
}

Task<Result<Done>> insert_medium(Store& store, DomainRow domain, std::string vdev, std::string file,
                                 Deadline until)
{
    const ThingName thing{"disks", vdev};
    co_return co_await run(
        store, std::move(domain), "insert " + thing.text(), thing, true,
        [&](const std::optional<ThingRow>& entry) { return draft_insert(*entry, file); }, until);
}

Task<Result<Done>> eject_medium(Store& store, DomainRow domain, std::string vdev, Deadline until)
{
    const ThingName thing{"disks", vdev};
    co_return co_await run(
        store, std::move(domain), "eject " + thing.text(), thing, true,
        [&](const std::optional<ThingRow>& entry) { return draft_eject(*entry); }, until);
}

}  // namespace xlstore
