// SPDX-License-Identifier: MIT
// Pass 4: the open intents of one domain.
//
// Checks     that each open intent can be settled by what QEMU shows   (4001-4008).
// Relies on  pass 3: the row is running and its QEMU was alive a moment ago.
// Leaves     no open intent but those of 4001, 4006, 4007, 4008 and of a no to a question.
#include "recovery/passes.hpp"
#include "store/operation.hpp"
#include "store/probe.hpp"

namespace xlstore::recovery {

namespace {

Subject subject_of(const DomainRow& domain, const Intent& intent)
{
    return Subject{domain.subject() + ": " + intent.draft.thing.text() + ": intent " +
                       std::to_string(value_of(intent.id)) + " (" +
                       std::string(verb_name(intent.draft.verb)) + ")",
                   {},
                   domain.domid,
                   value_of(intent.id)};
}

std::vector<Intent> readable_intents(Check& check, Store& store, const DomainRow& domain)
{
    std::vector<Intent> intents;
    for (const auto id : open_intents(store.db(), domain.id)) {
        auto intent = read_intent(store.db(), id);
        if (intent) {
            intents.push_back(*std::move(intent));
        } else if (intent.error().code != Errc::not_found) {  // settled meanwhile: nothing to say
            check.report(Code::intent_unreadable,
                         Subject{domain.subject() + ": intent " + std::to_string(value_of(id)),
                                 intent.error().message, domain.domid, value_of(id)});
        }
    }
    return intents;
}

void report_all(Check& check, Code code, const DomainRow& domain,
                const std::vector<Intent>& intents, const std::string& evidence)
{
    for (const auto& intent : intents) {
        Subject about = subject_of(domain, intent);
        about.evidence = evidence;
        check.report(code, about);
    }
}

Code code_of(const Intent& intent, const Evidence& found)
{
    if (waits_for_guest(intent, found)) return Code::intent_waits;
    if (found.half) return Code::intent_half_done;
    if (!found.image) return Code::intent_in_doubt;
    switch (*found.image) {
    case Image::after:
        return Code::intent_done;
    case Image::before:
        return Code::intent_undone;
    case Image::neither:
        break;
    }
    return Code::intent_emptied;
}

// -n: the same lock in shared mode, on a read-only descriptor; nothing is written, nothing undone.
Task<void> look_only(Check& check, Store& store, DomainRow domain, std::vector<Intent> intents)
{
    auto lock = store.locks().try_shared(LockKind::slow, value_of(domain.id));
    if (!lock || !*lock) {
        const auto claim = store.locks().claim(LockKind::slow, value_of(domain.id));
        report_all(check, Code::intent_owned, domain, intents, claim ? describe(*claim) : "");
        co_return;
    }
    auto monitor = co_await qmp::Monitor::connect(store.loop(), *domain.registration,
                                                  domain.subject(), check.deadline());
    if (!monitor) {
        report_all(check, Code::intent_in_doubt, domain, intents, monitor.error().message);
        co_return;
    }
    for (const auto& intent : intents) {
        const auto found =
            co_await look(*monitor, intent.draft.verb, intent.draft.plan.probe, check.deadline());
        Subject about = subject_of(domain, intent);
        about.evidence = found.reason;
        const Code code = code_of(intent, found);
        if (problem(code).question.empty())
            check.report(code, about);
        else
            (void)check.ask(code, about);
    }
}

}  // namespace

Task<void> pass4_intents(Check& check, Store& store, DomainRow domain)
{
    if (domain.state != DomainState::running || !domain.registration) co_return;
    if (!of_this_boot(domain.registration->qemu)) co_return;  // pass 3 has spoken of it
    auto intents = readable_intents(check, store, domain);
    if (intents.empty()) co_return;
    if (check.looking_only()) {
        co_await look_only(check, store, std::move(domain), std::move(intents));
        co_return;
    }
    auto hold = store.try_slow_lock(domain.id, "recover");
    if (!hold || !*hold) {
        const auto claim = store.locks().claim(LockKind::slow, value_of(domain.id));
        report_all(check, Code::intent_owned, domain, intents, claim ? describe(*claim) : "");
        co_return;
    }
    intents =
        readable_intents(check, store, domain);  // as they are now that nobody else is at work
    auto engine = co_await Engine::begin_under(store, domain, **std::move(hold), check.deadline());
    if (!engine) {
        report_all(check, Code::intent_in_doubt, domain, intents, engine.error().message);
        co_return;
    }
    for (auto& intent : intents) {
        const auto found = co_await look(engine->monitor(), intent.draft.verb,
                                         intent.draft.plan.probe, check.deadline());
        Subject about = subject_of(domain, intent);
        about.evidence = found.reason;
        const Code code = code_of(intent, found);
        if (problem(code).question.empty()) {
            check.report(code, about);
            continue;
        }
        if (!check.ask(code, about)) continue;
        auto resolved = co_await engine->resolve(std::move(intent), check.deadline());
        if (!resolved) {
            check.failed(code, about, resolved.error());
        } else if (resolved->resolution == Resolution::in_doubt) {
            check.failed(code, about, Error(Errc::in_doubt, resolved->reason));
        } else {
            about.evidence = resolved->reason;
            check.fixed(code, about);
        }
    }
}

}  // namespace xlstore::recovery
