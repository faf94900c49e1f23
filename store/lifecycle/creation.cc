// SPDX-License-Identifier: MIT
// begin() inserts row and document in one transaction and takes the slow lock in it, before any
// other process can know the id. A tombstone of the same domid and uuid makes it fail, once (R14).
// begin_again() is the soft reset: the old QEMU is killed and seen dead, its intents are settled,
// and the row is `creating` again under the same id.
//
// child() and spawn() write the pid into the row before the start barrier opens (R13). finish()
// meets the QEMU and completes the document. What fails after begin() ends in give_up(): QEMU is
// killed, a domain that never ran is destroyed, and the error says what could not be cleared away
// (R18).
#include "store/lifecycle/creation.hpp"

#include <sys/un.h>

#include <new>

#include "store/base/clock.hpp"
#include "store/base/file_identity.hpp"
#include "store/base/random.hpp"
#include "store/core/closed_document.hpp"
#include "store/core/journal.hpp"
#include "store/core/on_cancel.hpp"
#include "store/core/run_directory.hpp"
#include "store/lifecycle/creation_mark.hpp"
#include "store/lifecycle/creation_note.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/lifecycle/registration.hpp"
#include "store/model/document.hpp"
#include "store/model/domid.hpp"
#include "store/model/store_paths.hpp"
#include "store/operation/migration.hpp"
#include "store/operation/unplaced.hpp"
#include "store/os/listener.hpp"
#include "store/testing/trace.hpp"

namespace xlstore {

namespace {

constexpr auto kCleanUp = std::chrono::seconds(10);

// R14: a destruction that came before this creation wins, once.
bool forestalled(Db& db, std::int64_t domid, const std::string& uuid, const std::string& boot_id)
{
    // Those that are over go on the way: no other process looks at them.
    db.prepare("DELETE FROM tombstone WHERE boot_id <> ? OR until_us < ?")
        .bind(boot_id)
        .bind(since_boot_us())
        .run();
    db.prepare("DELETE FROM tombstone WHERE domid = ? AND uuid = ?").bind(domid).bind(uuid).run();
    return db.changes() > 0;
}

std::vector<std::string> with_monitor(std::vector<std::string> command, const std::string& path)
{
    std::string escaped;  // a comma ends an option of QEMU's, unless doubled
    for (const char c : path)
        escaped.append(c == ',' ? 2 : 1, c);
    command.insert(command.end(),
                   {"-chardev", "socket,id=xlstore-cmd,path=" + escaped + ",server=on,wait=off",
                    "-mon", "chardev=xlstore-cmd,mode=control"});
    return command;
}

struct NewRow {
    DomainRow domain;
    std::optional<SlowHold> hold;
    bool forestalled = false;
};

Result<void> check_socket_path(const std::string& path, std::size_t size)
{
    if (size < sizeof(sockaddr_un::sun_path)) return {};
    return Error(Errc::invalid,
                 "the path of QEMU's monitor is too long: " + path + " would have " +
                     std::to_string(size) + " bytes, a socket's path may have " +
                     std::to_string(sizeof(sockaddr_un::sun_path) - 1),
                 "keep the store in a shorter directory");
}

// R18: once the old QEMU was killed, a soft reset cannot be "not done" any more.
Error went_no_further(const DomainRow& domain, const char* old, Error failure) noexcept
{
    failure.code = Errc::unfinished;
    try {
        failure.message = domain.subject() + ": its old QEMU " + old +
                          ", and the soft reset went no further: " + failure.message;
        failure.advice += failure.advice.empty() ? "" : "; ";
        failure.advice += "'xlstore soft-reset' again goes on";
    } catch (const std::bad_alloc&) {
        failure.advice.clear();
    }
    return failure;
}

Task<Result<void>> end_old_qemu(Store& store, DomainRow domain, SlowHold& hold, Deadline until)
{
    Result<void> ended;
    try {
        ended = co_await end_qemu(store, domain, hold, until);
    } catch (...) {
        ended = caught();
    }
    if (ended || ended.error().code == Errc::gone || !domain.registration) co_return ended;
    if (life_of(domain.registration->qemu) == Life::dead)
        co_return went_no_further(domain, "is dead", std::move(ended).error());
    if (ended.error().code == Errc::unfinished)
        co_return went_no_further(domain, "was killed", std::move(ended).error());
    co_return ended;
}

// R9 R13: the row has one QEMU. A second one in its place would leave the first running, and known
// to no row.
Task<Result<void>> check_none_started(Store& store, DomainRow row, Deadline until)
{
    if (!row.registration || row.state != DomainState::creating) co_return Result<void>();
    std::string who = "pid " + std::to_string(row.registration->qemu.pid);
    if (life_of(row.registration->qemu) == Life::dead) {
        const auto left = co_await find_left(store, row, until);
        if (!left) co_return Result<void>();
        who = "pid " + std::to_string(left->pid) + " (" + program_of(left->pid) + ")";
    }
    co_return Error(
        Errc::order,
        row.subject() + ": its QEMU was started before, and " + who + " is not known to be dead",
        "no second one was started; finish the creation, or destroy the domain");
}

// R11: QEMU unlinks what it finds at the path of its socket, the monitor of a living QEMU included.
Result<void> check_unused(const std::string& path)
{
    if (!file_identity(path)) return {};
    const auto listener = who_listens(path);
    std::string who = "; no process listens there";
    if (listener) who = "; a process listens there";
    if (listener && *listener > 0) who = "; pid " + std::to_string(*listener) + " listens there";
    return Error(Errc::exists, "the path of QEMU's monitor, " + path + ", is taken" + who,
                 listener ? "nothing was started; name another path"
                          : "nothing was started; remove it, or name another path");
}

// R14, R18: what is to be said of one that its caller gave up on the way.
Error cancelled(const DomainRow& domain, bool again)
{
    std::string advice = "'xlstore recover' brings it to an end: it takes over a QEMU that runs";
    if (again)
        advice =
            "'xlstore recover' takes over a QEMU that runs; without one 'xlstore soft-reset' again "
            "goes on";
    return Error(Errc::unfinished,
                 domain.subject() + ": its " + (again ? "new " : "") +
                     "QEMU was to be started; that was cancelled on the way",
                 std::move(advice));
}

// A signal cannot be called back.
Error cancelled_at_the_old(const DomainRow& domain)
{
    return Error(Errc::unfinished,
                 domain.subject() +
                     ": its old QEMU was to be ended; that was cancelled on the way, and it may be "
                     "dead",
                 "'xlstore soft-reset' again goes on");
}

std::string spawn_advice(const Error& why)
{
    if (!why.advice.empty()) return why.advice;
    const bool of_program = why.code == Errc::not_found || why.code == Errc::refused;
    return of_program ? "install it, or name another program" : "mend that, and give it again";
}

// What can be seen of a new QEMU is looked at while the old one runs: whether its program is there,
// by a child that goes no further, and whether its monitor's path is short enough.
Task<Result<void>> check_may_begin(Store& store, const DomainRow& domain,
                                   const std::vector<std::string>& command, Deadline until)
{
    const std::string path = StorePaths(store.directory()).monitor(value_of(domain.id)) + "-" +
                             std::to_string(domain.epoch);
    if (auto ok = check_socket_path(path, path.size()); !ok) co_return ok;
    SpawnRequest trial;
    trial.argv = command;
    const auto waiting = co_await spawn_waiting(store.loop(), std::move(trial), until);
    if (waiting) co_return Result<void>();
    const Error& why = waiting.error();
    co_return Error(why.code == Errc::not_found ? Errc::refused : why.code,
                    domain.subject() + ": " + why.message,
                    "nothing was changed; " + spawn_advice(why));
}

// The library's own monitor and log, and QEMU behind its start barrier.
Task<Result<Created>> run_through(Creation creation, std::vector<std::string> command,
                                  Deadline until)
{
    if (auto ok = check_socket_path(creation.monitor_path(), creation.monitor_path().size()); !ok)
        co_return co_await creation.give_up(std::move(ok).error());
    SpawnRequest request;
    request.argv = with_monitor(std::move(command), creation.monitor_path());
    request.log_path = creation.log_path();
    const std::string subject = creation.domain().subject();
    std::optional<Error> failure;
    try {
        auto spawned =
            co_await creation.spawn(std::move(request), creation.monitor_path(), false, until);
        if (!spawned) failure = std::move(spawned).error();
    } catch (...) {
        failure = caught(subject);
    }
    if (failure) co_return co_await creation.give_up(*std::move(failure));
    co_return co_await creation.finish(until);
}

}  // namespace

Creation::Creation(Store& store, DomainRow domain, SlowHold hold, bool again, std::string suffix)
    : store_(&store), domain_(std::move(domain)), hold_(std::move(hold)), again_(again)
{
    const StorePaths paths(store.directory());
    monitor_path_ = unused_path(paths.monitor(value_of(domain_.id)) + suffix);
    log_path_ = paths.qemu_log(value_of(domain_.id));
}

Task<Result<Creation>> Creation::begin(Store& store, std::int64_t domid, std::string document_text,
                                       std::string what, Deadline until, std::string things)
{
    if (auto ok = check_domid(domid); !ok) co_return std::move(ok).error();
    auto document = parse_document(document_text, what);
    if (!document) co_return std::move(document).error();
    if (auto ok = check_identified(*document, what); !ok) co_return std::move(ok).error();
    auto carried = carried_with(things, *document);
    if (!carried) co_return std::move(carried).error();
    auto row = co_await store.with_writer_lock(
        "create", until, [&](const WriterHold& writer) -> Result<NewRow> {
            NewRow fresh;
            // R17: a file in run/ may be all that a lost database has left of an incarnation.
            raise_ids_above_names(store, writer);
            if (forestalled(store.db(), domid, document->uuid, store.self().boot_id)) {
                XLSTORE_TRACE("forestalled", 0,
                              "domid=" + std::to_string(domid) + " uuid=" + document->uuid);
                fresh.forestalled =
                    true;  // committed: it is used up by the creation that it defeats
                return fresh;
            }
            if (auto ok = check_no_other(store.db(), domid, *document, what, Comes::by_creation,
                                         store.self().boot_id);
                !ok)
                return std::move(ok).error();
            auto id = insert_domain(store, domid, *document, DomainState::creating, "adding");
            if (!id) return std::move(id).error();
            insert_carried(store.db(), *id, *carried, "adding");
            // In the transaction of the row: recovery never sees it without its creator's lock, and
            // does not take it for abandoned.
            auto hold = store.slow_lock_of_new(writer, *id, "create");
            if (!hold) return std::move(hold).error();
            fresh.domain = *read_domain(store.db(), *id);
            fresh.hold.emplace(*std::move(hold));
            return fresh;
        });
    if (!row) co_return std::move(row).error();
    if (row->forestalled)
        co_return Error(Errc::gone,
                        "domain " + std::to_string(domid) + " (" + document->name +
                            ") was destroyed before it was created (R14)",
                        "create it again if that was not meant");
    co_return Creation(store, std::move(row->domain), *std::move(row->hold), false, "");
}

Task<Result<Creation>> Creation::begin_again(Store& store, DomainRow domain, Deadline until)
{
    auto hold = co_await store.slow_lock(domain.id, domain.subject(), "soft reset", until);
    if (!hold) co_return std::move(hold).error();
    auto row = read_domain(store.db(), domain.id);
    if (!row || row->state == DomainState::destroying || row->state == DomainState::destroyed)
        co_return Error(Errc::gone, domain.subject() + " was destroyed or is being destroyed (R8)");
    if (row->state == DomainState::creating)
        co_return Error(Errc::refused, row->subject() + " is being created, and its creator died",
                        "run 'xlstore recover' first");
    if (row->without_qemu)
        co_return Error(Errc::refused, row->subject() + " was created without a QEMU",
                        "nothing was changed; start one that serves its back ends, and 'xlstore "
                        "register' takes it");
    if (auto open = check_open(store.db(), row->id); !open) co_return std::move(open).error();
    // Until the old QEMU is dead: where it is libxl's, xl may be at work on its devices.
    auto beside = co_await libxl::HostHold::take_for(store.loop(), *row, until);
    if (!beside) co_return std::move(beside).error();
    if (auto asked = co_await learn_addresses(store, *row, *hold, *beside, until); !asked)
        co_return std::move(asked).error();
    const auto given_up = [reset = *row] { return cancelled_at_the_old(reset); };
    auto end = end_old_qemu(store, *row, *hold, until);
    auto ended = co_await or_when_cancelled(store, Errc::unfinished, given_up, std::move(end));
    if (!ended) co_return std::move(ended).error();
    std::optional<Error> failure;
    try {
        // A name of its own: a client that is late with the old QEMU's socket does not find the new
        // one's.
        const std::string suffix = "-" + std::to_string(hold->epoch());
        co_return Creation(store, *read_domain(store.db(), domain.id), *std::move(hold), true,
                           suffix);
    } catch (...) {
        failure = caught();
    }
    if (!row->registration) co_return *std::move(failure);  // there was none to end
    co_return went_no_further(*row, "is dead", *std::move(failure));
}

Task<Result<void>> Creation::without_qemu(Deadline until)
{
    if (!hold_) co_return Error(Errc::order, domain_.subject() + ": its creation is over");
    if (again_ || read_traits(store_->db(), domain_.id).has_device_model())
        co_return Error(Errc::refused,
                        domain_.subject() +
                            " has a device model: its document is not of type pv "
                            "or pvh",
                        "nothing was changed; start its QEMU with 'xlstore create'");
    const std::string operation("create");
    const std::function<Result<void>(const FastHold&)> section =
        [&](const FastHold& fast) -> Result<void> {
        const auto row = read_domain(store_->db(), fast.domain());
        if (row->registration)
            return Error(Errc::order, row->subject() + ": a QEMU is registered for it");
        store_->db()
            .prepare("UPDATE domain SET without_qemu = 1 WHERE id = ?")
            .bind(value_of(fast.domain()))
            .run();
        return {};
    };
    co_return co_await Journal(*store_).commit(*hold_, operation, until, section);
}

Task<Result<void>> Creation::child(ProcessId qemu, std::string monitor_path, std::string log_path,
                                   bool handed_in, Deadline until)
{
    co_return co_await enter(std::move(qemu), std::move(monitor_path), std::move(log_path),
                             handed_in, "", until);
}

Task<Result<void>> Creation::enter(ProcessId qemu, std::string monitor_path, std::string log_path,
                                   bool handed_in, std::string mark, Deadline until)
{
    if (!hold_) co_return Error(Errc::order, domain_.subject() + ": its creation is over");
    const auto row = read_domain(store_->db(), domain_.id);
    if (row->without_qemu)
        co_return Error(Errc::order, domain_.subject() + " is created without a QEMU",
                        "'xlstore register' takes one that serves its back ends, once it runs");
    auto first = co_await check_none_started(*store_, *row, until);
    if (!first) co_return first;
    if (auto ok = check_socket_path(monitor_path, monitor_path.size()); !ok) co_return ok;
    if (!handed_in)
        if (auto unused = check_unused(monitor_path); !unused) co_return unused;
    qmp::Registration registration;
    registration.qemu = std::move(qemu);
    registration.path = std::move(monitor_path);
    registration.handed_in = handed_in;
    co_return co_await write_registration(*store_, *hold_, std::move(registration),
                                          std::move(log_path), std::move(mark), until);
}

Task<Result<ProcessId>> Creation::spawn(SpawnRequest request, std::string monitor_path,
                                        bool handed_in, Deadline until)
{
    if (!hold_) co_return Error(Errc::order, domain_.subject() + ": its creation is over");
    reap_programs();
    const std::string mark = random_hex();
    request.environment.push_back(environment_with_mark(mark));
    request.environment.push_back(
        environment_with_note(CreationNote{domain_.domid, domain_.uuid, domain_.name}));
    auto qemu = co_await spawn_waiting(store_->loop(), request, until);
    if (!qemu) {
        const Error& why = qemu.error();
        co_return Error(why.code == Errc::not_found ? Errc::refused : why.code,
                        domain_.subject() + ": " + why.message,
                        "nothing was started; " + spawn_advice(why));
    }
    XLSTORE_TRACE("spawned", value_of(domain_.id), "pid=" + std::to_string(qemu->id().pid));
    // R13: the child exists, its pid is in the row, then its start barrier opens.
    auto registered = co_await enter(qemu->id(), std::move(monitor_path),
                                     std::move(request.log_path), handed_in, mark, until);
    if (!registered) co_return std::move(registered).error();
    XLSTORE_TRACE("start_barrier", value_of(domain_.id));
    auto opened = co_await qemu->open_start_barrier(store_->loop(), until);
    if (!opened) {
        Error failure = std::move(opened).error();
        failure.message = domain_.subject() + ": " + failure.message;
        co_return failure;
    }
    co_return qemu->id();
}

Task<Result<Created>> Creation::finish(Deadline until)
{
    const auto given_up = [row = domain_, again = again_] { return cancelled(row, again); };
    co_return co_await or_when_cancelled(*store_, Errc::unfinished, given_up, bring_up(until));
}

Task<Result<Created>> Creation::bring_up(Deadline until)
{
    if (!hold_) co_return Error(Errc::order, domain_.subject() + ": its creation is over");
    const std::string subject = domain_.subject();
    std::optional<Error> failure;
    try {
        auto row = read_domain(store_->db(), domain_.id);
        if (row && row->state == DomainState::creating && row->without_qemu) {
            auto created = co_await finish_without_qemu(*store_, *std::move(row),
                                                        *std::exchange(hold_, {}), until);
            if (created) co_return created;
            failure = std::move(created).error();
        } else if (row && row->state == DomainState::creating && row->registration) {
            auto created = co_await finish_creation(*store_, *std::move(row),
                                                    *std::exchange(hold_, {}), until);
            if (created) co_return created;
            failure = std::move(created).error();
        } else {
            failure = Error(Errc::no_qemu, domain_.subject() + ": no QEMU was registered for it",
                            "register or spawn one before it is finished");
        }
    } catch (...) {
        // A creation that is reported as failed leaves no QEMU behind.
        failure = caught(subject);
    }
    co_return co_await give_up(*std::move(failure));
}

// R18: what is left of a creation is said, also when clearing it away fails.
Task<Error> Creation::give_up(Error failure)
{
    const Errc code = failure.code;
    std::optional<Error> trouble;
    try {
        co_return co_await clear_away(std::move(failure));
    } catch (...) {
        trouble = caught(domain_.subject());
    }
    trouble->code = code == Errc::gone ? code : Errc::unfinished;
    trouble->advice =
        "its creation failed, and what is left of it could not be cleared away: run "
        "xlfsck -p";
    co_return *std::move(trouble);
}

Task<Error> Creation::clear_away(Error failure)
{
    hold_.reset();
    const auto until = Clock::now() + kCleanUp;
    auto row = read_domain(store_->db(), domain_.id);
    if (!row || row->state == DomainState::destroying || row->state == DomainState::destroyed)
        failure = Error(Errc::gone, domain_.subject() + " was destroyed while it was created (R14)",
                        "create it again if that was not meant");
    if (!again_) {
        // Nothing is left running, and the row goes: the same steps as any destruction.
        const std::string why = "its creation failed: " + failure.message;
        auto gone = co_await destroy_domain(*store_, domain_, until, why);
        if (!gone) {
            failure.code = Errc::unfinished;
            failure.advice +=
                "; cleaning up failed: " + gone.error().message + ": 'xlfsck -p' finishes it";
        } else if (failure.code == Errc::in_doubt || failure.code == Errc::timeout) {
            // Proved by now: what may have begun to run is dead.
            failure.code = Errc::timeout;
            failure.intent.reset();
            failure.message += "; what was started was ended, and the domain is destroyed";
            if (row && row->registration)
                failure.advice = "give it more time" +
                                 (row->log_path.empty() ? "" : "; its log is " + row->log_path);
        }
        co_return failure;
    }
    if (failure.code == Errc::gone) co_return failure;
    auto hold = co_await store_->slow_lock(domain_.id, domain_.subject(), "soft reset", until);
    Result<void> ended = hold ? Result<void>() : Result<void>(hold.error());
    if (hold) {
        // What was read before the lock was held may be over: only a QEMU of ours is ended.
        row = read_domain(store_->db(), domain_.id);
        if (row && row->registration && row->state == DomainState::creating)
            ended = co_await end_qemu(*store_, *std::move(row), *hold, until);
    }
    failure.advice += failure.advice.empty() ? "" : "; ";
    if (ended) {
        // R18: its old QEMU is gone, and most codes say that nothing was changed.
        if (failure.code != Errc::refused && failure.code != Errc::no_qemu) {
            failure.code = Errc::unfinished;
            failure.intent.reset();
            failure.message = domain_.subject() + " has no QEMU now: " + failure.message;
        }
        failure.advice +=
            "the document is kept, without a QEMU: 'xlstore soft-reset' again, or destroy it";
    } else {
        failure.code = Errc::unfinished;
        failure.advice += "cleaning up failed: " + ended.error().message +
                          ": run xlfsck -p, then 'xlstore soft-reset' again";
    }
    co_return failure;
}

Task<Result<Created>> create_domain(Store& store, std::int64_t domid, std::string document,
                                    std::string what, std::vector<std::string> command,
                                    Deadline until, std::string things)
{
    if (command.empty()) co_return Error(Errc::invalid, "no QEMU command was given");
    const std::string longest = StorePaths(store.directory()).monitor_stem() + "N";
    if (auto ok = check_socket_path(longest, longest.size() - 1 + kIdDigits); !ok)
        co_return std::move(ok).error();
    auto creation = co_await Creation::begin(store, domid, std::move(document), std::move(what),
                                             until, std::move(things));
    if (!creation) co_return std::move(creation).error();
    const auto given_up = [row = creation->domain()] { return cancelled(row, false); };
    auto rest = run_through(*std::move(creation), std::move(command), until);
    co_return co_await or_when_cancelled(store, Errc::unfinished, given_up, std::move(rest));
}

Task<Result<Created>> soft_reset(Store& store, DomainRow domain, std::vector<std::string> command,
                                 Deadline until)
{
    if (command.empty()) co_return Error(Errc::invalid, "no QEMU command was given");
    if (auto ok = co_await check_may_begin(store, domain, command, until); !ok)
        co_return std::move(ok).error();
    auto creation = co_await Creation::begin_again(store, std::move(domain), until);
    if (!creation) co_return std::move(creation).error();
    const auto given_up = [row = creation->domain()] { return cancelled(row, true); };
    auto rest = run_through(*std::move(creation), std::move(command), until);
    co_return co_await or_when_cancelled(store, Errc::unfinished, given_up, std::move(rest));
}

}  // namespace xlstore
