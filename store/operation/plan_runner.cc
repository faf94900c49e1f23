// SPDX-License-Identifier: MIT
// A plan carried out over one connection, and what came of it. For each step in order:
//
//   1. Before the first command that is not device_del, the guest has to have let go of all devices
//      it was asked for: a back end is in use until then.
//   2. "$name" in the arguments becomes the number that an earlier reply gave.
//   3. The command is sent, with the step's image as a descriptor. Its undo is noted once QEMU said
//      yes.
//   4. device_del only asks the guest. That it was asked is committed before the wait, because a
//      process that is killed in the wait leaves no other trace of it.
//
// Where the run stands is one value, its PlanProgress. run() sends steps while it is acknowledged
// or asked, and then ends in one of three ways:
//
//   acknowledged                   the replies are the evidence
//   unrecorded                     nothing is known, and nothing more is done
//   any other                      find_out(): after a refusal or a break the steps before it are
//                                  undone, the last first; a new probe says what is there (R12)
//
// After a refusal or a break the rest of a plan is never sent.
#include "store/operation/plan_runner.hpp"

#include <algorithm>

#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/product.hpp"
#include "store/operation/asked.hpp"
#include "store/operation/grace.hpp"
#include "store/operation/other_primary.hpp"
#include "store/qmp/probe.hpp"
#include "store/qmp/unplug_news.hpp"
#include "store/testing/mutation.hpp"
#include "store/testing/trace.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

constexpr auto kGonePoll = std::chrono::milliseconds(100);
// A device lets go of what it depended on a moment after it is gone itself.
constexpr auto kReleaseWait = std::chrono::milliseconds(1500);
constexpr auto kReleasePoll = std::chrono::milliseconds(20);

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

std::string qemu_said(const Command& command, const qmp::Reply& reply)
{
    const std::string who = command.by == Executor::qemu   ? "QEMU"
                            : command.by == Executor::host ? "this program"
                                                           : "xenstored";
    return who + " refused " + command.execute + ": " + qmp::printable(reply.error_desc);
}

std::string traced(const Evidence& found)
{
    if (found.half) return "half";
    return found.image ? std::string(image_name(*found.image)) : "nothing";
}

// It changes nothing: whether it ran need not be known.
bool is_query(const Command& command)
{
    return command.execute.starts_with("query-");
}

bool makes_something(const Step& step)
{
    const auto product = product_of(step.command);
    return !step.capture.empty() || (product && *product);
}

// No reply says what becomes of the descriptor sets of what was taken out.
bool leaves_sets(const Draft& whole)
{
    const auto& products = whole.plan.probe.products;
    return whole.verb == Verb::remove && std::any_of(products.begin(), products.end(), is_fdset);
}

// Each step was, and no reply left anything to the guest: that is proof.
Evidence acknowledged(std::size_t steps)
{
    Evidence found;
    found.image = Image::after;
    found.reason = steps == 0 ? "QEMU had nothing of it any more"
                              : "QEMU acknowledged each of " + std::to_string(steps) + " steps";
    return found;
}

}  // namespace

bool only_asks_the_guest(const Command& command)
{
    return command.execute == kDeviceDel;
}

void trace_probed(DomainId domain, const std::vector<IntentId>& intents, const Evidence& found)
{
    for (const auto id : intents)
        XLSTORE_TRACE("probed", value_of(domain),
                      "intent=" + std::to_string(value_of(id)) + " image=" + traced(found));
}

PlanRunner::PlanRunner(HeldQemu& qemu, std::vector<IntentId> intents, std::vector<Product> asked)
    : qemu_(&qemu), intents_(std::move(intents)), asked_(std::move(asked))
{}

Task<PlanRunner::Unplug> PlanRunner::watch_unplug(Product device, Deadline patience, Deadline until)
{
    Probe probe;
    probe.products.push_back(device);
    bool refused = false;
    for (;;) {
        const auto evidence =
            co_await run_probe(qemu_->monitor(), Verb::remove, probe, probe_deadline(until));
        if (!evidence.image) co_return Unplug::unknown;
        if (*evidence.image == Image::after) co_return Unplug::gone;
        if (refused) co_return Unplug::refused;
        if (Clock::now() >= patience) co_return Unplug::waits;
        // The event only says that it is worth looking again.
        const auto event = co_await qemu_->monitor().wait_for_unplug(
            device.name, std::min(patience, Clock::now() + kGonePoll));
        refused = event && *event == qmp::kUnplugRefused;
    }
}

// A drive that did not open. Its guest may keep the tray shut; then QEMU has asked it to open it.
Task<PlanRunner::Shut> PlanRunner::watch_tray(const Draft& whole, Deadline until)
{
    auto found =
        co_await run_probe(qemu_->monitor(), whole.verb, whole.plan.probe, probe_deadline(until));
    if (!found.tray_shut) co_return Shut::no;
    if (!whole.waits_for_tray) co_return Shut::stays;
    // Written down before the wait, as for a device.
    std::optional<std::vector<Product>> asked(std::in_place, 1, tray_of(whole.plan.probe));
    auto noted = co_await qemu_->journal().note(qemu_->hold(), intents_,
                                                "the guest has been asked to open the tray",
                                                std::move(asked), settle_deadline(until));
    const auto last = std::min(until, Clock::now() + limits::guest_unplug_wait);
    while (noted && found.tray_shut && Clock::now() < last) {
        (void)co_await qemu_->loop().sleep(std::min(last, Clock::now() + kGonePoll));
        found = co_await run_probe(qemu_->monitor(), whole.verb, whole.plan.probe,
                                   probe_deadline(until));
    }
    co_return found.tray_shut || !found.image ? Shut::waits : Shut::opened;
}

Task<Result<qmp::Reply>> PlanRunner::send(Command command, Deadline until, int file_descriptor)
{
    if (command.by != Executor::qemu)
        co_return co_await carry_out_elsewhere(qemu_->store(), qemu_->domain(), std::move(command),
                                               until);
    const auto patience = std::min(until, Clock::now() + kReleaseWait);
    for (;;) {
        XLSTORE_TRACE("sending", value_of(qemu_->domain().id), command.execute);
        auto reply = co_await qemu_->monitor().execute(command.execute, command.arguments, until,
                                                       file_descriptor);
        XLSTORE_TRACE("replied", value_of(qemu_->domain().id),
                      !reply      ? "nothing"
                      : reply->ok ? "done"
                                  : "refused");
        const bool refused = reply && !reply->ok;
        if (!refused || !takes_out_backend(command) || Clock::now() >= patience) co_return reply;
        (void)co_await qemu_->loop().sleep(Clock::now() + kReleasePoll);
    }
}

// After a device_del. A USB device goes at once; a guest that takes its time is waited for later,
// when it has been asked for all devices. Written down before that:
// killed in the wait, a process leaves no other trace of it.
Task<Result<void>> PlanRunner::note_asked(Product device, Deadline until)
{
    const auto became = co_await watch_unplug(device, Clock::now(), until);
    std::erase_if(asked_, [&](const Product& p) { return same_product(p, device); });
    if (became == Unplug::gone) co_return Result<void>();
    asked_.push_back(device);
    if (became == Unplug::unknown) co_return Result<void>();
    std::optional<std::vector<Product>> asked(asked_);
    co_return co_await qemu_->journal().note(
        qemu_->hold(), intents_, "the guest has been asked to let go of " + json_shown(device.name),
        std::move(asked), settle_deadline(until));
}

// Waits for all devices that the guest was asked for, for a while. Errors: refused, it said no;
// in_doubt, it has one of them yet.
Task<Result<void>> PlanRunner::await_guest(Deadline until)
{
    if (asked_.empty()) co_return Result<void>();
    if (!patience_) patience_ = std::min(until, Clock::now() + limits::guest_unplug_wait);
    Result<void> outcome;
    const std::vector<Product> devices = asked_;
    for (const auto& device : devices) {
        const auto became = co_await watch_unplug(device, *patience_, until);
        if (became == Unplug::gone || became == Unplug::refused)
            std::erase_if(asked_, [&](const Product& p) { return same_product(p, device); });
        if (became == Unplug::refused)
            outcome = Error(Errc::refused,
                            "the guest refused to let go of device " + json_shown(device.name));
        else if (became != Unplug::gone && outcome)
            outcome = Error(Errc::in_doubt, "the guest still has " + json_shown(device.name));
    }
    co_return outcome;
}

// One command that takes something out; of a device it only asks the guest.
Task<Result<void>> PlanRunner::undo(Command command, Deadline until)
{
    if (XLSTORE_MUTATION("undo")) co_return Result<void>();
    auto reply = co_await send(command, probe_deadline(until), -1);
    if (!reply) co_return std::move(reply).error();
    if (!reply->ok) co_return Error(Errc::refused, qemu_said(command, *reply));
    if (!only_asks_the_guest(command)) co_return Result<void>();
    co_return co_await note_asked(device_of_removal(command.arguments), until);
}

// Takes products out, last first. The guest is asked for each device that it was not asked for yet;
// what they may depend on waits until all of them are gone.
Task<Result<void>> PlanRunner::remove_products(const std::vector<Product>& products, Deadline until)
{
    qemu_->monitor().forget_unplugs();
    for (const bool devices : {true, false}) {
        for (auto it = products.rbegin(); it != products.rend(); ++it) {
            if (is_device(*it) != devices || has_product(asked_, *it)) continue;
            if (!it->undo)
                co_return Error(Errc::refused, "nothing is known to take out " + it->kind + " " +
                                                   json_shown(it->name));
            auto out = co_await undo(*it->undo, until);
            if (!out) co_return out;
        }
        auto gone = co_await await_guest(until);
        if (!gone) co_return gone;
    }
    co_return Result<void>();
}

// What is left of descriptor sets, and what QEMU shows then, in `evidence`. What went wrong; empty:
// nothing.
Task<std::string> PlanRunner::remove_unused_sets(Verb verb, const Probe& probe, Evidence& evidence,
                                                 Deadline until)
{
    std::string trouble;
    std::vector<std::int64_t> removed;
    // How many there are is QEMU's word: the next operation or recovery takes the rest.
    auto swept = evidence.leftover_fdsets;
    if (swept.size() > limits::fdsets_swept_max) {
        trouble = "of " + std::to_string(swept.size()) + " unused descriptor sets no more than " +
                  std::to_string(limits::fdsets_swept_max) + " are swept up at a time";
        swept.resize(limits::fdsets_swept_max);
    }
    for (const auto fdset : swept) {
        if (!qemu_->monitor().usable()) break;
        const Command remove{"remove-fd", "{\"fdset-id\":" + std::to_string(fdset) + "}"};
        auto out = co_await undo(remove, until);
        if (out)
            removed.push_back(fdset);
        else
            trouble = out.error().message;
    }
    evidence = co_await run_probe(qemu_->monitor(), verb, probe, probe_deadline(until));
    // A paused QEMU lists a removed set until its guest runs again.
    std::erase_if(evidence.leftover_fdsets, [&](std::int64_t id) {
        return std::find(removed.begin(), removed.end(), id) != removed.end();
    });
    if (evidence.image || evidence.overtaken) evidence.half = !evidence.leftover_fdsets.empty();
    co_return trouble;
}

Task<Evidence> PlanRunner::undo_leftovers(Verb verb, const Probe& probe, Evidence evidence,
                                          Deadline until)
{
    std::string trouble;
    if (!evidence.present.empty()) {
        auto out = co_await remove_products(evidence.present, until);
        if (!out) trouble = out.error().message;
        evidence = co_await run_probe(qemu_->monitor(), verb, probe, probe_deadline(until));
    }
    if (!evidence.leftover_fdsets.empty()) {
        auto more = co_await remove_unused_sets(verb, probe, evidence, until);
        if (!more.empty()) trouble = std::move(more);
    }
    evidence.asked = still_there(asked_, evidence);
    if (!trouble.empty()) evidence.reason += "; " + trouble;
    co_return evidence;
}

// Undoes steps, last first, until one cannot be: what depends on something goes first. The guest is
// asked for each device of them. What went wrong; empty: nothing. In `undoing_` is left what was
// not undone.
Task<std::string> PlanRunner::undo_steps(Deadline until)
{
    std::string trouble;
    const auto tell = [&](const Error& error) {
        trouble += (trouble.empty() ? "" : "; ") + error.message;
    };
    std::vector<Undoing> left;
    bool stopped = false;
    for (auto it = undoing_.rbegin(); it != undoing_.rend(); ++it) {
        const bool asks = only_asks_the_guest(it->command);
        if (!asks && !asked_.empty()) (void)co_await await_guest(until);
        if (stopped || !qemu_->monitor().usable() || (!asks && !asked_.empty())) {
            left.push_back(std::move(*it));
            continue;
        }
        auto undone = co_await undo(it->command, until);
        if (undone) continue;
        tell(undone.error());
        stopped = true;
        left.push_back(std::move(*it));
    }
    if (auto gone = co_await await_guest(until); !gone) tell(gone.error());
    undoing_ = std::move(left);
    co_return trouble;
}

void PlanRunner::end(PlanProgress::Stage stage, std::string why)
{
    progress_ = PlanProgress{stage, std::move(why)};
}

// Waits for what the guest has been asked for: is all of it gone?
Task<bool> PlanRunner::guest_let_go(Deadline until)
{
    auto gone = co_await await_guest(until);
    if (gone) co_return true;
    if (gone.error().code == Errc::refused || progress_.stage == Stage::guest_refused)
        end(Stage::guest_refused, std::move(gone.error().message));
    co_return false;
}

// QEMU refused a step. True: its guest kept a tray shut, and has opened it in the wait.
Task<bool> PlanRunner::tray_opened(const Draft& whole, const Step& step, std::string refusal,
                                   Deadline until)
{
    auto shut = Shut::no;
    if (opens_tray(step.command)) shut = co_await watch_tray(whole, until);
    if (shut == Shut::opened) co_return true;
    if (shut == Shut::no)
        end(Stage::refused, std::move(refusal));
    else
        end(Stage::tray_shut, "the guest keeps the tray shut, and has been asked to open it");
    if (shut == Shut::waits) asked_.push_back(tray_of(whole.plan.probe));
    co_return false;
}

// The number in the reply, for later arguments. False: there is none.
bool PlanRunner::capture(const Step& step, const qmp::Reply& reply)
{
    const auto value = json_minify(reply.value, "reply", limits::qmp_line_bytes_max);
    const auto id = value ? json_get_integer(*value, "fdset-id") : std::nullopt;
    if (id) captured_[step.capture] = std::to_string(*id);
    return id.has_value();
}

Task<void> PlanRunner::run_step(const Draft& whole, const Step& step, int image, Deadline until)
{
    const bool asks = only_asks_the_guest(step.command);
    // A device has to be gone before what it depends on.
    if (!asks && progress_.stage == Stage::asked && !co_await guest_let_go(until)) co_return;
    const Command command{step.command.execute, with_captured(step.command.arguments, captured_),
                          step.command.by};
    const auto device = asks ? device_of_removal(command.arguments) : Product{};
    for (;;) {
        auto reply = co_await send(command, until, image);
        if (!reply) {
            unproved_ = whole.verb == Verb::add && !makes_something(step) && !is_query(command);
            end(Stage::broken, std::move(reply.error().message));
            co_return;
        }
        // QEMU's no ("is already in the process of unplug") takes nothing back of what was asked.
        if (!reply->ok && !(asks && has_product(asked_, device))) {
            if (co_await tray_opened(whole, step, qemu_said(step.command, *reply), until)) continue;
            co_return;
        }
        if (!step.capture.empty() && !capture(step, *reply)) {  // later steps would name no set
            end(Stage::broken, "QEMU's answer to " + command.execute + " names no descriptor set");
            co_return;
        }
        break;
    }
    if (step.undo)
        undoing_.push_back(
            Undoing{Command{step.undo->execute, with_captured(step.undo->arguments, captured_),
                            step.undo->by},
                    makes_something(step)});
    if (!asks) co_return;
    progress_.stage = Stage::asked;
    auto noted = co_await note_asked(device, until);
    if (!noted) end(Stage::unrecorded, std::move(noted.error().message));
}

// Where the replies are no proof: undoes the steps before a refusal or a break, and probes.
Task<Evidence> PlanRunner::find_out(const Draft& whole, Deadline until)
{
    const bool broken = progress_.stage == Stage::broken;
    std::string so_far = broken ? progress_.why : std::string();
    if (broken || progress_.refused()) {
        const auto trouble = co_await undo_steps(until);
        if (!trouble.empty()) so_far += (so_far.empty() ? "" : "; ") + trouble;
        unproved_ |= std::any_of(undoing_.begin(), undoing_.end(),
                                 [](const Undoing& u) { return !u.shows; });
    }
    Evidence found;
    if (auto connected = co_await qemu_->stay_connected(until); !connected) {
        found.reason = so_far + "; " + connected.error().message;
        co_return found;
    }
    found =
        co_await run_probe(qemu_->monitor(), whole.verb, whole.plan.probe, probe_deadline(until));
    // What the guest has been asked for, or said no to, is left to it.
    if (found.half && progress_.stage != Stage::guest_refused && asked_.empty())
        found = co_await undo_leftovers(whole.verb, whole.plan.probe, std::move(found), until);
    trace_probed(qemu_->domain().id, intents_, found);
    found.asked = still_there(asked_, found);
    if (!so_far.empty()) found.reason += " (" + so_far + ")";
    co_return found;
}

Task<PlanResult> PlanRunner::run(const Draft& whole, const std::vector<Fd>& files, Deadline until)
{
    qemu_->monitor().forget_unplugs();
    const auto& steps = whole.plan.steps;
    for (std::size_t i = 0; i < steps.size() && progress_.stage <= Stage::asked; ++i)
        co_await run_step(whole, steps[i], files[i].get(), until);
    // One that was asked before QEMU said no to a later step may still say what it does.
    if (progress_.stage == Stage::asked || progress_.stage == Stage::refused ||
        progress_.stage == Stage::guest_refused)
        (void)co_await guest_let_go(until);
    Evidence found;
    if (progress_.stage == Stage::unrecorded)
        found.reason = progress_.why;
    else if (progress_.stage == Stage::acknowledged && !leaves_sets(whole))
        found = acknowledged(steps.size());
    else
        found = co_await find_out(whole, until);
    PlanResult result{std::move(progress_), std::move(found), unproved_};
    co_return result;
}

}  // namespace xlstore
