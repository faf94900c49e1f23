// SPDX-License-Identifier: MIT
// How one operation goes. operate() is the whole; ask_again() joins it at step 5 for an intent that
// is open already.
//
//   1. resolve_pending (pending.cc): an open intent on the same key comes first. If it asked for
//      the same, what becomes of it is this operation's answer.
//   2. open_files: every image of the plan, in a child process. It fails before anything is
//      written.
//   3. check_before: a probe (R16). An add finds nothing of the thing in QEMU, a removal and a
//      change find what the entry says. What a probe cannot tell ends the operation here, and
//      nothing was changed.
//   4. Journal::open: commit 1, with entry, products, plan and probe (R10). The task of steps 5 and
//      6 is made before it, so that from here on no lack of memory leaves the caller without an
//      answer.
//   5. run_and_settle: PlanRunner sends the plan. What it throws proves nothing, so that the intent
//      stays open (R18).
//   6. conclude: commit 2. An image that was seen settles the intent; otherwise it stays open, with
//      what was seen in its note, and the answer is in doubt with its number.
#include "store/operation/engine.hpp"

#include <algorithm>
#include <iterator>

#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/on_cancel.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/product.hpp"
#include "store/operation/asked.hpp"
#include "store/operation/grace.hpp"
#include "store/operation/open_intents.hpp"
#include "store/operation/other_primary.hpp"
#include "store/operation/plan_runner.hpp"
#include "store/os/image_opener.hpp"
#include "store/qmp/address.hpp"
#include "store/qmp/probe.hpp"
#include "store/testing/mutation.hpp"
#include "store/testing/trace.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

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

// What is in the drive before anything is done: a probe tells it again, and history names it.
void remember_medium(DriveProbe& drive, const Evidence& found)
{
    drive.seen = found.medium;
    if (found.medium_name && !found.medium_name->empty()) drive.seen_medium = found.medium_name;
}

// Several adds as one plan.
Draft merged(const std::vector<Intent>& intents)
{
    Draft whole = intents.front().draft;
    for (auto it = intents.begin() + 1; it != intents.end(); ++it) {
        const Plan& plan = it->draft.plan;
        whole.plan.steps.insert(whole.plan.steps.end(), plan.steps.begin(), plan.steps.end());
        whole.plan.probe.products.insert(whole.plan.probe.products.end(),
                                         plan.probe.products.begin(), plan.probe.products.end());
    }
    return whole;
}

// The image that closes the intents; nothing: they stay open (R18).
std::optional<Image> proved_image(Verb verb, const PlanResult& result)
{
    const Evidence& found = result.evidence;
    if (!found.asked.empty() || found.half) return std::nullopt;
    // A step was refused and yet all of it is there: what was undone is not gone, or the step that
    // was refused left no trace. Neither is what was asked for.
    if (verb == Verb::add && result.progress.refused() && found.image == Image::after)
        return std::nullopt;
    if (result.unproved && found.image != Image::after &&
        !XLSTORE_MUTATION("doubt of what is not proved"))
        return std::nullopt;
    return found.image;
}

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

Engine::Engine(HeldQemu qemu) : qemu_(std::move(qemu)) {}

Task<Result<Engine>> Engine::begin(Store& store, DomainRow domain, std::string operation,
                                   std::vector<qmp::Question> ahead, Deadline until)
{
    auto hold = co_await store.slow_lock(domain.id, domain.subject(), std::move(operation), until);
    if (!hold) co_return std::move(hold).error();
    const auto row = read_domain(store.db(), domain.id);
    if (row && row->state == DomainState::creating)
        co_return Error(
            Errc::refused,
            row->subject() + " is still being created, and no process is at work on it any more",
            "nothing was changed; run 'xlstore recover' first");
    auto qemu = co_await HeldQemu::connect(store, std::move(domain), *std::move(hold),
                                           std::move(ahead), until);
    if (!qemu) co_return std::move(qemu).error();
    co_return Engine(*std::move(qemu));
}

Task<Result<Engine>> Engine::begin_under(Store& store, DomainRow domain, SlowHold hold,
                                         Deadline until)
{
    std::vector<qmp::Question> nothing;
    auto qemu = co_await HeldQemu::connect(store, std::move(domain), std::move(hold),
                                           std::move(nothing), until);
    if (!qemu) co_return std::move(qemu).error();
    co_return Engine(*std::move(qemu));
}

void Engine::note_change(const std::string& what)
{
    changes_ += (changes_.empty() ? "; before that " : ", and ") + what;
}

void Engine::note_settled(IntentId earlier, const ThingName& thing)
{
    note_change("intent " + std::to_string(value_of(earlier)) + ", which was open on " +
                thing.text() + ", was settled");
}

void Engine::say_changes(Error& error) const
{
    if (changes_.empty()) return;
    error.message += changes_;
    for (const std::string_view unchanged : {"nothing was changed", "QEMU is as it was"})
        if (error.advice.starts_with(unchanged))
            error.advice.replace(0, unchanged.size(), "nothing else was changed");
}

// Before the commit that says that they are there, over the connection that proved it.
Task<void> Engine::query_addresses_of(std::vector<Intent>& added, Deadline until)
{
    for (auto& intent : added)
        intent.address =
            co_await query_addresses(monitor(), intent.draft.plan.probe.products, until);
}

// R16: an add finds nothing of the thing in QEMU, neither of its new image nor of the entry that is
// there, which may be made of something else.
Task<Result<void>> Engine::check_before_add(const Draft& draft, Deadline until)
{
    MadeOf made;
    if (const auto entry = read_thing(store().db(), domain().id, draft.thing))
        made = made_of(store().db(), domain().id, *entry);
    Probe both = draft.plan.probe;
    for (const auto& product : made.products)
        if (!has_product(both.products, product) && !XLSTORE_MUTATION("products of the entry"))
            both.products.push_back(product);
    Evidence there = co_await run_probe(monitor(), draft.verb, both, until);
    const bool left_over = is_left_over(made.products, there.present);
    if (left_over) {
        std::vector<IntentId> no_intent;
        std::vector<Product> no_device;
        PlanRunner runner(qemu_, std::move(no_intent), std::move(no_device));
        note_change("what an earlier plan of " + draft.thing.text() +
                    " had left in QEMU was undone as far as QEMU let it");
        there = co_await runner.undo_leftovers(draft.verb, both, std::move(there), until);
    }
    const std::string subject = domain().subject() + ": " + draft.thing.text();
    const std::string changed = left_over ? "nothing else was changed" : "nothing was changed";
    // A descriptor set that nothing uses harms no later operation: QEMU drops it when the guest
    // runs.
    if (!there.present.empty() && !XLSTORE_MUTATION("probe before commit 1")) {
        const auto owners = owners_among(store().db(), domain().id, draft.thing, there.present);
        co_return Error(Errc::exists,
                        subject + " cannot be added: " + there.reason +
                            (owners.empty() ? "" : "; " + owners + " (R16)"),
                        changed + "; detach it first, or choose other ids");
    }
    if (!there.image && !there.half)
        co_return Error(code_of_unproved(until), subject + ": " + there.reason, changed);
    co_return Result<void>();
}

// Why a look before commit 1 proved nothing: what QEMU has, or that it did not say.
Errc Engine::code_of_unproved(Deadline until)
{
    if (monitor().usable()) return Errc::refused;
    return Clock::now() >= until ? Errc::timeout : Errc::protocol;
}

Task<std::optional<std::string>> Engine::is_there(Draft draft, Deadline until)
{
    std::optional<std::string> seen;
    if (draft.verb != Verb::add) co_return seen;
    const auto entry = read_thing(store().db(), domain().id, draft.thing);
    if (!entry || entry->state != "present" || entry->json != draft.image_after) co_return seen;
    const Evidence there = co_await run_probe(monitor(), draft.verb, draft.plan.probe, until);
    if (there.image == Image::after)
        seen = "it was there already, as it is asked for: " + there.reason;
    co_return seen;
}

// R16, before anything is written: a removal and a change find what the store knows of.
Task<Result<void>> Engine::check_before(Draft& draft, Deadline until)
{
    if (draft.verb == Verb::add) co_return co_await check_before_add(draft, until);
    const Evidence there = co_await run_probe(monitor(), draft.verb, draft.plan.probe, until);
    const std::string subject = domain().subject() + ": " + draft.thing.text();
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
        co_return Error(there.medium ? Errc::refused : code_of_unproved(until),
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

// An intent that another process closed while it was carried out (the slow lock was broken, R15):
// history says how.
Outcome Engine::closed_by_another(const OpenIntents& open)
{
    auto outcome = outcome_of_closed(store().db(), open.intents.front().id);
    if (outcome) outcome->intents = ids_of(open.intents);
    return outcome;
}

// Settled, and not as it was asked for.
Error Engine::refused(const OpenIntents& open, const PlanResult& result) const
{
    const PlanProgress& progress = result.progress;
    const bool emptied = result.evidence.image == Image::neither;
    const bool tray_asked = progress.stage == PlanProgress::Stage::tray_shut;
    std::string what = domain().subject() + ": " + open.things + ": " +
                       (progress.refused() ? progress.why : result.evidence.reason);
    if (emptied) what += "; the drive is empty now";
    if (tray_asked) what += ", which it may do at any time; the medium stays in it";
    return Error(Errc::refused, what,
                 emptied      ? "insert another image"
                 : tray_asked ? "give it again with --wait, which waits for the guest, or with "
                                "--force, which does not ask it"
                              : "QEMU is as it was");
}

Task<Outcome> Engine::conclude(OpenIntents& open, PlanResult result, Deadline until)
{
    // Made now: after the commit it is not to fail for want of memory.
    Done done{ids_of(open.intents), {}};
    Evidence& found = result.evidence;
    auto image = proved_image(open.verb(), result);
    const bool waits = !found.asked.empty();
    std::string evidence = found.reason;
    if (result.progress.refused()) evidence = result.progress.why + "; " + evidence;
    // Libxl's list says where a PCI device is, too.
    if (image && open.verb() == Verb::add && *image == Image::after)
        co_await query_addresses_of(open.intents, until);
    if (image) {
        auto rest = co_await follow_image(store(), domain(), open.intents, *image, Known::by_plan,
                                          settle_deadline(until));
        if (!rest) image.reset();
        evidence += rest ? *rest : "; " + rest.error().message;
    }
    Result<void> written;
    if (image) {
        written = co_await journal().settle(hold(), open.intents, *image, evidence,
                                            settle_deadline(until));
    } else {
        std::optional<std::vector<Product>> seen;  // as it was, where nothing was seen
        if (found.image || found.half) seen = std::move(found.asked);
        written = co_await journal().note(hold(), done.intents, evidence, std::move(seen),
                                          settle_deadline(until));
    }
    if (!written && written.error().code == Errc::gone) {
        written.error().intent = value_of(open.intents.front().id);
        co_return std::move(written).error();
    }
    if (!written && !read_intent_subject(store().db(), open.intents.front().id))
        co_return closed_by_another(open);
    if (!image) {
        store().log(LogLevel::info, [&] {
            return "in doubt intent=" + std::to_string(value_of(open.intents.front().id)) +
                   " reason=" + json_shown(evidence);
        });
        co_return open.in_doubt(waits ? "asked, waiting for the guest: " + evidence : evidence);
    }
    if (!written)
        co_return open.in_doubt(found.reason +
                                ", but that could not be settled: " + written.error().message);
    if (*image != Image::after) co_return refused(open, result);
    done.evidence = std::move(found.reason);
    co_return done;
}

// The one way from commit 1 to the answer (R18): what is thrown on it leaves the intent open, and
// the answer is in doubt with its number. REQUIRES that this task was made before commit 1, and
// that `open` has the intents when it is started.
Task<Outcome> Engine::run_and_settle(OpenIntents& open, const std::vector<Fd>& files,
                                     Deadline until)
{
    PlanResult result;
    Outcome ended = Error(Errc::in_doubt, {});
    std::optional<Error> failure;
    try {
        const Draft whole = merged(open.intents);
        std::vector<Product> nothing;
        PlanRunner runner(qemu_, ids_of(open.intents), std::move(nothing));
        result = co_await runner.run(whole, files, until);
    } catch (...) {
        failure = caught();  // QEMU may have acted
    }
    try {
        if (failure) result.evidence.reason = std::move(failure->message);
        failure.reset();
        ended = co_await conclude(open, std::move(result), until);
    } catch (...) {
        failure = caught();
    }
    if (failure && XLSTORE_MUTATION("doubt after commit 1")) co_return *std::move(failure);
    if (failure) co_return open.in_doubt_of(*failure);
    co_return ended;
}

Task<Outcome> Engine::operate(Draft draft, Deadline until)
{
    std::vector<Draft> alone;
    alone.push_back(std::move(draft));
    return operate(std::move(alone), until);
}

Task<Outcome> Engine::operate(std::vector<Draft> drafts, Deadline until)
{
    auto earlier = co_await resolve_pending(drafts, until);
    if (earlier) co_return *std::move(earlier);
    std::vector<Fd> files;  // of all drafts, in order
    for (auto& draft : drafts) {
        auto others = co_await add_other_primaries(store(), domain(), draft, until);
        if (!others) co_return std::move(others).error();
        auto opened = co_await open_files(store().loop(), draft.plan.steps, until);
        if (!opened) co_return std::move(opened).error();
        if (auto ok = co_await check_before(draft, until); !ok) co_return std::move(ok).error();
        if (auto ok = check_other_primaries(store(), domain(), draft); !ok)
            co_return std::move(ok).error();
        // A removal's plan may be another by now; it has no images.
        opened->resize(draft.plan.steps.size());
        std::move(opened->begin(), opened->end(), std::back_inserter(files));
        XLSTORE_TRACE(
            "probed", value_of(domain().id),
            "thing=" + draft.thing.text() + " verb=" + std::string(verb_name(draft.verb)));
    }
    OpenIntents open(domain(), names_of(drafts));
    const auto given_up = [&open] { return open.given_up(); };
    auto rest =
        or_when_cancelled(store(), Errc::in_doubt, given_up, run_and_settle(open, files, until));
    auto intents =
        co_await journal().open(hold(), std::move(drafts), domain().registration->path, until);
    if (!intents) co_return std::move(intents).error();
    open.intents = *std::move(intents);
    co_return co_await std::move(rest);
}

Task<Outcome> Engine::ask_again(Intent intent, bool force, Deadline until)
{
    OpenIntents open(domain(), intent.draft.thing.text());
    open.intents.push_back(std::move(intent));
    const auto given_up = [&open] { return open.given_up(); };
    co_return co_await or_when_cancelled(store(), Errc::in_doubt, given_up,
                                         ask_once_more(open, force, until));
}

Task<Outcome> Engine::ask_once_more(OpenIntents& open, bool force, Deadline until)
{
    const Verb verb = open.verb();
    std::optional<Error> failure;
    try {
        Draft rest = open.intents.front().draft;
        PlanResult result;
        result.evidence =
            co_await run_probe(monitor(), verb, rest.plan.probe, probe_deadline(until));
        const Evidence& there = result.evidence;
        const bool goes_on =
            verb == Verb::change ? there.image == Image::before : there.image || there.half;
        if (verb == Verb::remove) rest.plan.steps = removal_steps(there.present);
        rest.waits_for_tray = true;
        if (force) open_by_force(rest.plan);
        auto files = co_await open_files(store().loop(), rest.plan.steps, until);
        if (!files) co_return open.in_doubt_of(files.error());
        if (goes_on) {
            PlanRunner runner(qemu_, ids_of(open.intents), open.intents.front().asked);
            result = co_await runner.run(rest, *files, until);
        }
        co_return co_await conclude(open, std::move(result), until);
    } catch (...) {
        failure = caught();
    }
    co_return open.in_doubt_of(*failure);
}

}  // namespace xlstore
