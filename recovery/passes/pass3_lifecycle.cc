// SPDX-License-Identifier: MIT
// Pass 3: the life of each incarnation.
//
// Checks     creations and destructions that no process is at work on   (3001-3005);
//            incarnations of an older boot, QEMUs that are dead or unseen    (3006-3008);
//            documents that are closed                                       (3009);
//            creations of an older state of the store                        (3010);
//            creations without a QEMU                                   (3012, 3013);
//            destructions that libxl may have given up                       (3014).
// Relies on  pass 0.
// Leaves     rows that are `running`, or `creating`/`destroying` by a living process, or by libxl.
//            No QEMU is killed but that of a domain whose destruction was ordered, and none of
//            libxl's; none is unpaused.
#include "recovery/base/host_qemu.hpp"
#include "recovery/passes/passes.hpp"
#include "store/core/closed_document.hpp"
#include "store/libxl/host_directories.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/lifecycle/finish_creation.hpp"
#include "store/lifecycle/registration.hpp"
#include "store/model/store_paths.hpp"
#include "store/operation/host_xenstore.hpp"

namespace xlstore::recovery {

namespace {

void tell(Check& check, Code code, const Subject& about, const Result<void>& done)
{
    if (done)
        check.fixed(code, about);
    else
        check.failed(code, about, done.error());
}

// Asks, acts, says what came of it.
template <class Act>
Task<void> fix(Check& check, Code code, Subject about, Act act)
{
    if (!check.ask(code, about)) co_return;
    const Result<void> done = co_await act();
    tell(check, code, about, done);
}

std::string claimed(const Store& store, LockKind kind, DomainId domain)
{
    return store.locks().holder(kind, value_of(domain));
}

// The row as it is now that its slow lock is ours, so that what was decided on it stays true while
// it is acted on. Only looking, it is merely read after the lock was seen free.
struct Taken {
    std::optional<SlowHold> hold;
    std::optional<DomainRow> row;
    bool by_another = false;
};
Taken take(const Check& check, Store& store, DomainId domain)
{
    Taken taken;
    if (check.looking_only()) {
        const auto held = store.locks().is_held(LockKind::slow, value_of(domain));
        taken.by_another = held && *held;
    } else {
        auto hold = store.try_slow_lock(domain, "recover");
        if (!hold || !*hold)
            taken.by_another = true;
        else
            taken.hold = *std::move(hold);
    }
    taken.row = read_domain(store.db(), domain);
    return taken;
}

Task<Result<void>> finish(Store& store, DomainRow domain, SlowHold hold, Deadline until)
{
    auto created = co_await finish_creation(store, std::move(domain), std::move(hold), until);
    if (!created) co_return std::move(created).error();
    co_return Result<void>();
}

// The living QEMU of a creation that was under way in an older state of the store: the registered
// one, or, where that state knew none yet, the one that has this incarnation's socket.
std::optional<RegisterRequest> qemu_of_older(const Store& store, const DomainRow& domain)
{
    RegisterRequest request;
    request.log_path = domain.log_path;
    if (domain.registration && life_of(domain.registration->qemu) == Life::alive) {
        request.monitor_path = domain.registration->path;
        request.pid = domain.registration->qemu.pid;
        request.handed_in = domain.registration->handed_in;
        return request;
    }
    const StorePaths paths(store.directory());
    const auto qemu = find_host_qemu(domain, paths.run());
    if (!qemu) return std::nullopt;
    request.monitor_path = qemu->monitor;
    request.pid = qemu->pid;
    if (request.log_path.empty())
        request.log_path = paths.qemu_log(value_of(domain.id));
    return request;
}

// R19: such a creation may be long over. What its QEMU has is registered; nothing is plugged into
// it. False: its QEMU does not live.
Task<bool> creating_in_older_state(Check& check, Store& store, DomainRow domain, Taken& taken)
{
    auto request = qemu_of_older(store, domain);
    if (!request) co_return false;
    const Subject about{domain.subject(), "QEMU " + std::to_string(*request->pid), domain.domid};
    taken.hold.reset();  // the registration takes it
    co_await fix(check, Code::creation_older, about, [&]() -> Task<Result<void>> {
        auto done = co_await register_qemu(store, domain, *std::move(request), check.deadline());
        if (!done) co_return std::move(done).error();
        co_return Result<void>();
    });
    co_return true;
}

// No process tells what came of it: xenstored does. It was marked before Xen was asked to make the
// domain, so that one that is not there was not made, or only the hypervisor knows of it.
Task<void> creating_without_qemu(Check& check, Store& store, DomainRow domain, Taken& taken)
{
    Subject about{domain.subject(), {}, domain.domid};
    const Deadline until = check.deadline();
    const auto known = co_await is_introduced(store.loop(), domain.domid, until);
    if (!known) {
        about.evidence = known.error().message;
        check.report(Code::xenstore_unseen, about);
        co_return;
    }
    if (*known) {
        about.evidence = "xenstored says that it is introduced";
        co_await fix(check, Code::creation_made, about, [&]() -> Task<Result<void>> {
            auto made = co_await finish_without_qemu(store, domain, *std::move(taken.hold), until);
            if (!made) co_return std::move(made).error();
            co_return Result<void>();
        });
        co_return;
    }
    about.evidence = "xenstored says that it is not introduced";
    co_await fix(check, Code::creation_unmade, about, [&]() -> Task<Result<void>> {
        return abandon_domain(store, domain, "its creator died, and Xen has no such domain", until);
    });
}

// A creation that no process will finish. A row that has run (a registration, or a soft reset)
// keeps its document, which outlives its QEMUs; any other is archived.
Task<void> end_creation(Check& check, Store& store, DomainRow domain, Subject about, Taken& taken)
{
    if (domain.has_run) {
        co_await fix(check, Code::qemu_dead, about, [&]() -> Task<Result<void>> {
            return unregister_qemu(store, domain, *taken.hold, check.deadline());
        });
        co_return;
    }
    if (!domain.registration) about.evidence = "no QEMU was registered, so none was let run (R13)";
    co_await fix(check, Code::creation_abandoned, about, [&]() -> Task<Result<void>> {
        return abandon_domain(store, domain, "its creator died; " + about.evidence,
                              check.deadline());
    });
}

// R13: without a pid in the row the start barrier was never opened, and the child went with its
// creator.
Task<void> creating_with_qemu(Check& check, Store& store, DomainRow domain, Taken& taken)
{
    Subject about{domain.subject(), {}, domain.domid};
    const Life life = domain.registration ? life_of(domain.registration->qemu) : Life::dead;
    if (life == Life::unknown) {
        check.report(Code::qemu_unseen, about);
        co_return;
    }
    if (domain.older_state && co_await creating_in_older_state(check, store, domain, taken))
        co_return;
    if (domain.registration)
        about.evidence = "QEMU " + std::to_string(domain.registration->qemu.pid);
    if (life == Life::alive) {
        if (!check.ask(Code::creation_unfinished, about)) co_return;
        const auto finished =
            co_await finish(store, domain, *std::move(taken.hold), check.deadline());
        // What fails may have been a child at its start barrier, which ended with its creator, or a
        // QEMU that died.
        if (finished || life_of(domain.registration->qemu) != Life::dead) {
            tell(check, Code::creation_unfinished, about, finished);
            co_return;
        }
        taken = take(check, store, domain.id);
        if (taken.by_another || !taken.row || taken.row->state != DomainState::creating) co_return;
    }
    co_await end_creation(check, store, std::move(domain), std::move(about), taken);
}

Task<void> creating(Check& check, Store& store, DomainRow domain)
{
    auto taken = take(check, store, domain.id);
    if (taken.by_another) {
        const Subject about{domain.subject(), claimed(store, LockKind::slow, domain.id),
                            domain.domid};
        check.report(Code::creation_owned, about);
        co_return;
    }
    // Its creator may have finished, or a client may have destroyed it, just before.
    if (!taken.row || taken.row->state != DomainState::creating) co_return;
    domain = *std::move(taken.row);
    if (domain.without_qemu)
        co_await creating_without_qemu(check, store, std::move(domain), taken);
    else
        co_await creating_with_qemu(check, store, std::move(domain), taken);
}

Task<void> destroying(Check& check, Store& store, DomainRow domain)
{
    Subject about{domain.subject(), {}, domain.domid};
    const auto held = store.locks().is_held(LockKind::destroy, value_of(domain.id));
    if (held && *held) {
        about.evidence = claimed(store, LockKind::destroy, domain.id);
        check.report(Code::destruction_owned, about);
        co_return;
    }
    // Its destroyer may have finished just before.
    auto now = read_domain(store.db(), domain.id);
    if (!now || now->state != DomainState::destroying) co_return;
    domain = *std::move(now);
    // libxl ends a QEMU of its own; where it gave up before that, the domain lives on.
    const bool of_libxl =
        domain.registration &&
        libxl::HostDirectories::of_monitor(domain.registration->path, domain.domid);
    if (of_libxl && life_of(domain.registration->qemu) == Life::alive) {
        about.evidence = "QEMU " + std::to_string(domain.registration->qemu.pid) +
                         "; 'xl destroy " + std::to_string(domain.domid) + "' goes on with it";
        check.report(Code::destruction_of_libxl, about);
        co_return;
    }
    co_await fix(check, Code::destruction_unfinished, about, [&]() -> Task<Result<void>> {
        return destroy_domain(store, domain, check.deadline());
    });
}

Task<void> running(Check& check, Store& store, DomainRow domain)
{
    if (!domain.registration) co_return;
    const ProcessId seen = domain.registration->qemu;
    const Life first = life_of(seen);
    if (first == Life::alive) co_return;
    auto taken = take(check, store, domain.id);
    if (taken.by_another) co_return;  // the process at work finds out, and says so
    if (!taken.row || taken.row->state != DomainState::running || !taken.row->registration)
        co_return;
    domain = *std::move(taken.row);
    const Subject about{domain.subject(), qemu_words(domain), domain.domid};
    // A dead process stays dead; any other state may have changed.
    const bool still_known = first == Life::dead && domain.registration->qemu == seen;
    switch (still_known ? first : life_of(domain.registration->qemu)) {
    case Life::alive:
        break;
    case Life::unknown:
        check.report(Code::qemu_unseen, about);
        break;
    case Life::dead:
        co_await fix(check, Code::qemu_dead, about, [&]() -> Task<Result<void>> {
            return unregister_qemu(store, domain, *taken.hold, check.deadline());
        });
        break;
    }
}

std::string under_way(DomainState state)
{
    if (state == DomainState::creating) return "; its creation was not finished";
    if (state == DomainState::destroying) return "; its destruction was ordered and not finished";
    return {};
}

Task<void> older_boot(Check& check, Store& store, DomainRow domain)
{
    auto taken = take(check, store, domain.id);
    if (taken.by_another || !taken.row || taken.row->state == DomainState::destroyed ||
        taken.row->boot_id != domain.boot_id)
        co_return;
    domain = *std::move(taken.row);
    tell_ended_intents(check, store, domain);
    const Subject about{domain.subject(), "boot " + domain.boot_id + under_way(domain.state),
                        domain.domid};
    co_await fix(check, Code::older_boot, about, [&]() -> Task<Result<void>> {
        return archive_domain(store, domain, kBootIsOver, check.deadline());
    });
}

}  // namespace

std::optional<Subject> closed_note(Db& db, const DomainRow& domain)
{
    const auto by = closed_by(db, domain.id);
    if (!by) return std::nullopt;
    const std::string way_out =
        "; if that is over, 'xlstore reopen domid:" + std::to_string(domain.domid) + "' opens it";
    return Subject{domain.subject(), *by + way_out, domain.domid, {}};
}

std::string qemu_words(const DomainRow& domain)
{
    return "QEMU " + std::to_string(domain.registration->qemu.pid);
}

Task<bool> pass3_lifecycle(Check& check, Store& store, DomainId id)
{
    auto listed = read_domain(store.db(), id);
    if (!listed) co_return false;
    DomainRow domain = *std::move(listed);
    if (domain.state == DomainState::destroyed) co_return false;
    if (domain.boot_id != current_boot_id()) {
        co_await older_boot(check, store, std::move(domain));
        co_return false;
    }
    switch (domain.state) {
    case DomainState::creating:
        co_await creating(check, store, std::move(domain));
        break;
    case DomainState::destroying:
        co_await destroying(check, store, std::move(domain));
        break;
    case DomainState::running:
        if (const auto note = closed_note(store.db(), domain))
            check.report(Code::document_closed, *note);
        co_await running(check, store, std::move(domain));
        break;
    case DomainState::destroyed:
        break;
    }
    const auto now = read_domain(store.db(), id);  // a creation may have been finished
    co_return now && now->state == DomainState::running;
}

}  // namespace xlstore::recovery
