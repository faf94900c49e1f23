// SPDX-License-Identifier: MIT
// Pass 4: the open intents of one domain.
//
// Checks     that each open intent can be settled by what QEMU shows   (4001-4012).
// Relies on  pass 3: the row is running and its QEMU was alive a moment ago; its slow lock is held.
// Leaves     no open intent but those of 4001, 4006 to 4009 and of a no to a question.
#include <algorithm>

#include "recovery/passes/passes.hpp"
#include "store/core/intent_rows.hpp"
#include "store/operation/engine.hpp"
#include "store/operation/resolution.hpp"

namespace xlstore::recovery {

namespace {

// One intent, or a batch of which all are done or none: it is settled as one.
using Unit = std::vector<Intent>;

Subject subject_of(const DomainRow& domain, const Unit& unit)
{
    std::string things;
    std::string numbers;
    for (const auto& intent : unit) {
        things += (things.empty() ? "" : ", ") + intent.draft.thing.text();
        numbers += (numbers.empty() ? "" : ", ") + std::to_string(value_of(intent.id));
    }
    const Intent& first = unit.front();
    return Subject{domain.subject() + ": " + things + ": intent " + numbers + " (" +
                       std::string(verb_name(first.draft.verb)) + ")",
                   {},
                   domain.domid,
                   value_of(first.id)};
}

// One that cannot be read back is reported and passed over: it keeps no other from being settled.
std::vector<Unit> readable_intents(Check& check, Store& store, const DomainRow& domain)
{
    std::vector<Unit> units;
    for (const auto id : open_intents(store.db(), domain.id)) {
        const bool with_its_batch = std::any_of(units.begin(), units.end(), [&](const Unit& unit) {
            return std::any_of(unit.begin(), unit.end(),
                               [&](const Intent& intent) { return intent.id == id; });
        });
        if (with_its_batch) continue;
        auto unit = read_batch(store.db(), id);
        if (unit) {
            units.push_back(*std::move(unit));
        } else if (unit.error().code != Errc::not_found) {  // settled meanwhile: nothing to say
            check.report(Code::intent_unreadable,
                         Subject{domain.subject() + ": intent " + std::to_string(value_of(id)),
                                 unit.error().message, domain.domid, value_of(id)});
        }
    }
    return units;
}

void report_all(Check& check, Code code, const DomainRow& domain, const std::vector<Unit>& units,
                const std::string& evidence)
{
    for (const auto& unit : units) {
        Subject about = subject_of(domain, unit);
        about.evidence = evidence;
        check.report(code, about);
    }
}

// An eviction that was broken off is taken up by one that is asked for: closed as not done, it
// would leave an entry, and what has an entry is not evicted.
bool is_taken_up(const Check& check, const Unit& unit, const Evidence& found)
{
    return check.options().evict && is_eviction(unit.front().draft) &&
           (found.image == Image::before || found.half);
}

Code code_of(const Check& check, const Unit& unit, const Evidence& found)
{
    if (is_taken_up(check, unit, found) && resolution_of(found) != Resolution::waits)
        return Code::eviction_unfinished;
    if (is_half_done(unit, found)) return Code::intent_half_done;
    switch (resolution_of(found)) {
    case Resolution::done:
        return Code::intent_done;
    case Resolution::undone:
        return Code::intent_undone;
    case Resolution::emptied:
        return Code::intent_emptied;
    case Resolution::overtaken:
        return Code::intent_overtaken;
    case Resolution::waits:
        return Code::intent_waits;
    case Resolution::stuck:
        return Code::intent_half_done;
    case Resolution::in_doubt:
        break;
    }
    return Code::intent_in_doubt;
}

// Is the domain's time over (R20)? Then what is left of its intents is said in one line.
bool out_of_time(Check& check, Reached& reached, const DomainRow& domain, std::size_t left)
{
    if (Clock::now() < reached.deadline()) return false;
    Subject about{domain.subject()};
    about.domid = domain.domid;
    about.evidence =
        std::to_string(left) + (left == 1 ? " open intent was" : " open intents were") +
        " not looked at, and no more of its QEMU; each run goes on from here, a longer "
        "--timeout does more of it at once";
    check.report(Code::intents_left, about);
    reached.leave_the_rest();
    return true;
}

// A no to each question, and no question where there is nothing to be done.
Task<void> probe_only(Check& check, Reached& reached, DomainRow domain, std::vector<Unit> units)
{
    for (std::size_t i = 0; i < units.size(); ++i) {
        if (out_of_time(check, reached, domain, units.size() - i)) co_return;
        const Unit& unit = units[i];
        const auto found = co_await probe_intents(reached.monitor(), unit, reached.deadline());
        Subject about = subject_of(domain, unit);
        about.evidence = found.reason;
        const Code code = code_of(check, unit, found);
        if (problem(code).question.empty())
            check.report(code, about);
        else
            (void)check.ask(code, about);
    }
}

// Who opened it and when, what it asks of QEMU, and what was last seen of it.
std::string told_of(Db& db, const Unit& unit)
{
    const Intent& first = unit.front();
    auto row = db.prepare(
                     "SELECT datetime(?1 / 1000000, 'unixepoch'), program, pid FROM session WHERE "
                     "id = ?2")
                   .bind(first.opened_us)
                   .bind(first.owner);
    std::string text = "opened";
    if (row.step()) text += " " + row.text(0) + " by " + row.text(1) + " (pid " + row.text(2) + ")";
    for (const auto& intent : unit) {
        const auto commands = command_names(intent.draft.plan);
        if (!commands.empty()) text += "; asks for " + commands;
        if (intent.asked_us) text += "; its guest had been asked to let go";
        if (!intent.note.empty()) text += "; " + intent.note;
    }
    return text;
}

}  // namespace

void tell_outcome(Check& check, Code code, Subject about, const Result<void>& done)
{
    if (done) {
        check.fixed(code, about);
    } else if (done.error().code == Errc::in_doubt && done.error().intent) {
        about.evidence = done.error().message;
        about.intent = done.error().intent;
        check.report(Code::intent_waits, about);
    } else {
        check.failed(code, about, done.error());
    }
}

void tell_ended_intents(Check& check, Store& store, const DomainRow& domain)
{
    for (const auto& unit : readable_intents(check, store, domain)) {
        Subject about = subject_of(domain, unit);
        about.evidence = told_of(store.db(), unit);
        check.report(Code::intent_ended, about);
    }
}

Task<void> pass4_intents(Check& check, Store& store, DomainRow domain, Reached& reached)
{
    auto units = readable_intents(check, store, domain);
    if (!reached) {
        report_all(check, reached.owned() ? Code::intent_owned : Code::intent_in_doubt, domain,
                   units, reached.why());
        co_return;
    }
    if (!reached.engine()) {
        co_await probe_only(check, reached, std::move(domain), std::move(units));
        co_return;
    }
    Engine& engine = *reached.engine();
    for (std::size_t i = 0; i < units.size(); ++i) {
        if (out_of_time(check, reached, domain, units.size() - i)) co_return;
        Unit& unit = units[i];
        const auto found = co_await probe_intents(engine.monitor(), unit, reached.deadline());
        Subject about = subject_of(domain, unit);
        about.evidence = found.reason;
        const Code code = code_of(check, unit, found);
        if (problem(code).question.empty()) {
            check.report(code, about);
            continue;
        }
        if (!check.ask(code, about)) continue;
        if (code == Code::eviction_unfinished) {
            Result<void> done;
            auto ended =
                co_await engine.ask_again(std::move(unit.front()), false, reached.deadline());
            if (!ended) done = std::move(ended).error();
            tell_outcome(check, code, std::move(about), done);
            continue;
        }
        auto resolved = co_await engine.resolve(std::move(unit), reached.deadline());
        if (!resolved) {
            check.failed(code, about, resolved.error());
        } else if (resolved->resolution == Resolution::waits) {
            about.evidence = resolved->reason;  // asked for what it had not been asked for
            check.report(Code::intent_waits, about);
        } else if (resolved->open()) {
            const bool looked = resolved->resolution != Resolution::in_doubt;
            check.failed(code, about,
                         Error(looked ? Errc::refused : Errc::in_doubt, resolved->reason));
        } else {
            about.evidence = resolved->reason;
            check.fixed(code, about);
        }
    }
}

}  // namespace xlstore::recovery
