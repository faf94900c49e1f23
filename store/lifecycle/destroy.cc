// SPDX-License-Identifier: MIT
// destroy_domain() and its like are go_to_the_end() with three answers:
//
//   1. Take the destroy lock, and read the row again below it.
//   2. look_first: whether QEMU can be seen at all. Later it would be too late to refuse (R11).
//   3. mark: commit that the domain is being destroyed (R14). From here on adds and edits are
//      refused (R8), and an error says "unfinished", never "not done" (R18).
//   4. kill_qemu: SIGKILL through a pidfd, and wait until the kernel says that the process is dead
//      (R9).
//   5. clear_own: processes that a creation started and no row knows, by the mark in their
//      environment.
//   6. Remove the socket if it is still the recorded one and no process listens, and the log of a
//      domain that ran.
//   7. end_devices: what xenstore has of the domain's things goes (R1).
//   8. let_document_go: the last commit closes the intents, keeps a copy (R22), and removes entries
//      and document. Where the disk has no room for the copy, it goes without, and history says so
//      (R21).
//
// unregister_qemu() is for a row whose domain goes on: QEMU is proved dead, its intents are settled
// by that, its entries become stale.
#include "store/lifecycle/destroy.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "store/base/clock.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/journal.hpp"
#include "store/core/on_cancel.hpp"
#include "store/core/registration_row.hpp"
#include "store/keep/retired.hpp"
#include "store/lifecycle/creation_mark.hpp"
#include "store/lifecycle/device_ending.hpp"
#include "store/model/store_paths.hpp"
#include "store/os/listener.hpp"
#include "store/os/spawn.hpp"
#include "store/testing/crash_point.hpp"
#include "store/testing/mutation.hpp"
#include "store/testing/trace.hpp"

namespace xlstore {

namespace {

constexpr auto kClearPoll = std::chrono::milliseconds(100);

// What a QEMU counts as that cannot be looked at: it may live.
enum class Unseen { is_refused, is_dead };

// R14: marks the row. From here on adds and edits are refused (R8), and only forward is possible.
Task<Result<void>> mark(Store& store, const DomainRow& domain, Deadline until)
{
    co_return co_await store.with_fast_lock(
        domain.id, "destroy", until,
        [&](const FastHold& fast) -> Result<void> {
            XLSTORE_TRACE("destroy.mark", value_of(fast.domain()));
            store.db()
                .prepare(
                    "UPDATE domain SET state = 'destroying', changed_us = ? WHERE id = ? AND state "
                    "<> 'destroying'")
                .bind(now_us())
                .bind(value_of(fast.domain()))
                .run();
            if (store.db().changes() > 0)
                Journal(store).add_history(
                    HistoryLine{fast.domain(), "destroy", {}, {}, "begun", {}, ""});
            return {};
        },
        Room::reserve);
}

std::string qemu_of(const DomainRow& domain)
{
    return domain.subject() + ": its QEMU (pid " + std::to_string(domain.registration->qemu.pid) +
           ")";
}

Error unseen(const DomainRow& domain)
{
    return Error(
        Errc::io,
        qemu_of(domain) + " could not be looked at: " + why_unknown(domain.registration->qemu),
        "run it in QEMU's pid namespace, or one above. If it is known to have ended, for instance "
        "because its container has: 'xlstore destroy --assume-dead'");
}

// R18: of a row that is not there any more. Its domain runs on where an adoption took its import
// back: that is no destruction.
Result<void> check_destroyed(Store& store, const DomainRow& domain)
{
    if (!was_taken_back(store.db(), domain.id)) return {};
    return Error(Errc::not_found,
                 domain.subject() + " is no longer in the store: its import was taken back",
                 "nothing was changed, and the domain runs on; the toolstack that made it ends it");
}

// R11 R14: looks before the mark, after which only forward is possible. A QEMU that cannot be
// looked at may live, and the next recovery that can see it would have to kill it.
Result<void> look_first(const DomainRow& domain, Unseen unseen_qemu)
{
    if (!domain.registration || !of_this_boot(domain.registration->qemu)) return {};
    if (life_of(domain.registration->qemu) != Life::unknown) return {};
    if (XLSTORE_MUTATION("look before the mark")) return {};
    if (unseen_qemu == Unseen::is_refused) {
        Error error = unseen(domain);
        error.advice = "nothing was changed; " + error.advice;
        return error;
    }
    // What can be asked from anywhere is asked: a QEMU that lives listens.
    const auto listener = who_listens(domain.registration->path);
    if (!listener) return {};
    return Error(Errc::refused,
                 qemu_of(domain) + " cannot be assumed dead: a process listens at its monitor " +
                     domain.registration->path,
                 "nothing was changed; end it where it runs");
}

// R18: the signal was sent and cannot be called back, so that each failure from then on is
// unfinished.
Task<Result<void>> see_dead(Store& store, PidFd process, std::string who, Deadline until)
{
    std::optional<Error> failure;
    try {
        while (!process.dead() && !failure)
            if (!co_await process.ended(store.loop(), until))
                failure = Error(Errc::unfinished, who + " was killed and is not seen dead yet",
                                "it may hang in the kernel");
    } catch (...) {
        failure = caught(who);
    }
    if (!failure) co_return Result<void>();
    failure->code = Errc::unfinished;
    co_return *std::move(failure);
}

// The registered process is dead when this returns success; proved (R11), or assumed by order.
// Error unfinished: it was sent the signal. Of all others it was not.
Task<Result<void>> kill_qemu(Store& store, const DomainRow& domain, Unseen unseen_qemu,
                             Deadline until)
{
    if (!domain.registration) co_return Result<void>();
    const ProcessId& qemu = domain.registration->qemu;
    if (!of_this_boot(qemu)) co_return Result<void>();  // it died with its boot
    const std::string who = qemu_of(domain);
    switch (life_of(qemu)) {
    case Life::dead:
        co_return Result<void>();
    case Life::unknown:
        if (unseen_qemu == Unseen::is_dead) co_return Result<void>();
        co_return unseen(domain);
    case Life::alive:
        break;
    }
    auto process = open_pidfd(qemu);
    if (!process) {
        if (process.error().code == Errc::not_found) co_return Result<void>();
        co_return std::move(process).error();
    }
    store.log(LogLevel::info, [&] {
        return "killing QEMU pid=" + std::to_string(qemu.pid) +
               " domid=" + std::to_string(domain.domid);
    });
    XLSTORE_TRACE("destroy.kill", value_of(domain.id), "pid=" + std::to_string(qemu.pid));
    XLSTORE_CRASH_POINT("destroy.before_kill");
    if (auto sent = process->send_signal(SIGKILL); !sent && sent.error().code != Errc::not_found)
        co_return std::move(sent).error();
    XLSTORE_CRASH_POINT("destroy.after_kill");
    co_return co_await see_dead(store, *std::move(process), who, until);
}

// The socket that this library named for the QEMU it started: by incarnation, by epoch as well
// after a soft reset, and never used again.
bool is_own_socket(const Store& store, const DomainRow& domain)
{
    const std::string stem = StorePaths(store.directory()).monitor(value_of(domain.id));
    const std::string& path = domain.registration->path;
    return path == stem || path.starts_with(stem + "-");
}

// What QEMU printed goes with a domain that ran. Of a creation that failed, or was overtaken, it is
// what tells why, and stays.
void remove_log(const Store& store, const DomainRow& domain)
{
    const std::string path =
        StorePaths(store.directory()).qemu_log(value_of(domain.id));
    if (!domain.has_run || domain.log_path != path) return;
    XLSTORE_CRASH_POINT("destroy.before_unlink");
    unlink(path.c_str());
    XLSTORE_CRASH_POINT("destroy.after_unlink");
}

// Its monitor has not answered yet: it is not proved that the pid that was registered is QEMU's.
bool never_met(const DomainRow& domain)
{
    return domain.registration && domain.registration->socket.inode == 0;
}

// R11 R14: our own socket only, if it was recorded that very one, and never while a process
// listens: a QEMU started by hand may have bound the path anew, and file systems give a freed inode
// number out again, so that device and inode alone prove nothing.
void remove_socket(const Store& store, const DomainRow& domain)
{
    if (!domain.registration || !is_own_socket(store, domain)) return;
    const std::string& path = domain.registration->path;
    const auto there = file_identity(path);
    if (!there) return;
    if (!never_met(domain) && *there != domain.registration->socket) return;
    if (who_listens(path) && !XLSTORE_MUTATION("socket that is listened at")) return;
    XLSTORE_TRACE("destroy.unlink", value_of(domain.id));
    XLSTORE_CRASH_POINT("destroy.before_unlink");
    unlink(path.c_str());
    XLSTORE_CRASH_POINT("destroy.after_unlink");
}

// What a person has to know of a process that is at the monitor's path and is not this domain's.
std::string left_alone(const DomainRow& domain)
{
    if (!domain.registration || domain.registration->handed_in) return {};
    const std::string& path = domain.registration->path;
    const auto listener = who_listens(path);
    if (!listener) return {};
    const std::string who =
        *listener > 0 ? "pid " + std::to_string(*listener) + " (" + program_of(*listener) + ")"
                      : std::string("a process");
    return "; " + who + " listens at " + path +
           ", is not proved to be this domain's (R11) and was left alone";
}

std::string read_mark(Db& db, DomainId domain)
{
    auto row = db.prepare("SELECT coalesce(creation_mark, '') FROM domain WHERE id = ?")
                   .bind(value_of(domain));
    return row.step() ? row.text(0) : std::string();
}

// A creation whose monitor has not answered may have started more than the pid that it registered:
// a QEMU that daemonized, or that runs below a wrapper. What bears its mark is its own, and nothing
// else is (store/lifecycle/creation_mark.hpp).
Task<Result<void>> clear_own(Store& store, DomainRow domain, bool kill, Deadline until)
{
    for (;;) {
        const auto left = co_await find_left(store, domain, until);
        if (!left) co_return Result<void>();
        const std::string who = domain.subject() + ": pid " + std::to_string(left->pid) + " (" +
                                program_of(left->pid) + "), which its creation started,";
        if (!kill) co_return Error(Errc::refused, who + " lives on", "'xlstore destroy' ends it");
        if (Clock::now() >= until) co_return Error(Errc::unfinished, who + " is not seen dead yet");
        store.log(LogLevel::info, "killing pid=" + std::to_string(left->pid) +
                                      " domid=" + std::to_string(domain.domid) +
                                      " reason=started by its creation");
        (void)left->process.send_signal(SIGKILL);
        (void)co_await left->process.ended(store.loop(),
                                             std::min(until, Clock::now() + kClearPoll));
    }
}

// What became of it is not asked: its primary goes, or is gone, with the domain.
void close_intents(Journal& journal, Db& db, DomainId domain, const std::string& why)
{
    for (const auto intent : open_intents(db, domain)) {
        auto row =
            db.prepare(
                  "SELECT i.operation, coalesce(t.class, '?'), coalesce(t.key, '?'), i.owner "
                  "FROM intent i LEFT JOIN thing t ON t.id = i.thing WHERE i.id = ?")
                .bind(value_of(intent));
        if (!row.step()) continue;
        HistoryLine line{domain,     row.text(0), ThingName{row.text(1), row.text(2)}, intent,
                         "not done", {},          "the domain was destroyed: " + why};
        line.author = row.integer(3);
        if (const auto whole = read_intent(db, intent); whole)
            line.asked = command_names(whole->draft.plan);
        journal.add_history(line);
    }
    db.prepare("DELETE FROM intent WHERE domain = ?").bind(value_of(domain)).run();
}

enum class Copy { kept, left_out };

// The last commit of a destruction: the document goes, and leaves its copy (R22).
Task<Result<void>> remove_document(Store& store, DomainRow domain, Copy copy, std::string why,
                                   Deadline until)
{
    co_return co_await store.with_fast_lock(
        domain.id, "destroy", until,
        [&](const FastHold& fast) -> Result<void> {
            Db& db = store.db();
            const auto id = value_of(fast.domain());
            XLSTORE_TRACE("destroy.end", id);
            Journal journal(store);
            if (copy == Copy::kept && !XLSTORE_MUTATION("copy of a document"))
                keep_document(db, domain, why);
            close_intents(journal, db, fast.domain(), why);
            for (const char* sql : {"DELETE FROM thing WHERE domain = ?",
                                    "DELETE FROM document_member WHERE domain = ?"})
                db.prepare(sql).bind(id).run();
            clear_registration(db, fast.domain());
            db.prepare(
                  "UPDATE domain SET state = 'destroyed', creator = NULL, changed_us = ? "
                  "WHERE id = ? AND state = 'destroying'")
                .bind(now_us())
                .bind(id)
                .run();
            journal.add_history(HistoryLine{fast.domain(), "destroy", {}, {}, "done", {}, why});
            return {};
        },
        copy == Copy::kept ? Room::half : Room::reserve);
}

// R21 before R22: a destruction comes to its end on a full disk. Its copy is omitted where there
// is no room for it, and history says so.
Task<Result<void>> let_document_go(Store& store, DomainRow domain, std::string why, Deadline until)
{
    Result<void> removed;
    bool no_room = false;
    try {
        removed = co_await remove_document(store, domain, Copy::kept, why, until);
    } catch (const DbError& e) {
        no_room = is_no_room(e);
        if (!no_room) throw;
    }
    if (!no_room) co_return removed;
    why += "; there was no room to keep a copy of the document";
    co_return co_await remove_document(store, std::move(domain), Copy::left_out, std::move(why),
                                       until);
}

// For history: by whose word a QEMU counted as dead.
std::string assumed(const DomainRow& domain)
{
    const ProcessId& qemu = domain.registration->qemu;
    return "QEMU (pid " + std::to_string(qemu.pid) + " of pid namespace " +
           std::to_string(qemu.pid_namespace) +
           ") was assumed dead by order: it could not be "
           "looked at (" +
           why_unknown(qemu) + "), " +
           (file_identity(domain.registration->path) ? "no process listens at " : "there is no ") +
           domain.registration->path + " here; the document went last";
}

bool is_unknown(const DomainRow& domain)
{
    return domain.registration && of_this_boot(domain.registration->qemu) &&
           life_of(domain.registration->qemu) == Life::unknown;
}

// Of a row of another boot no QEMU was looked at; of a row without one there was none to look at.
std::string proved_end(Store& store, const DomainRow& domain)
{
    if (domain.boot_id != store.self().boot_id) return kBootIsOver;
    if (domain.registration) return "QEMU is dead; the document went last";
    return read_traits(store.db(), domain.id).has_device_model()
               ? "it had no QEMU in the store; the document went last"
               : "it had no device model; the document went last";
}

// What ends with a row.
enum class Ends { row, devices_too, qemu_too };

// From the mark to the end, under the destroy lock, with the row read again once it is held.
Task<Result<void>> go_to_the_end(Store& store, DomainRow domain, Ends ends, Unseen unseen_qemu,
                                 std::string why, Deadline until)
{
    const bool kill = ends == Ends::qemu_too;
    if (auto ok = store.check(); !ok) co_return ok;
    XLSTORE_CRASH_POINT("destroy.before_mark");
    auto lock =
        co_await store.locks().acquire(store.loop(), LockKind::destroy, value_of(domain.id),
                                       store.make_claim("destroy"), domain.subject(), until);
    if (!lock) co_return std::move(lock).error();
    XLSTORE_TRACE("destroy.locked", value_of(domain.id));
    auto row = read_domain(store.db(), domain.id);
    if (!row || row->state == DomainState::destroyed) co_return check_destroyed(store, domain);
    if (kill)
        if (auto looked = look_first(*row, unseen_qemu); !looked) co_return looked;
    if (auto marked = co_await mark(store, *row, until); !marked) co_return marked;
    row = read_domain(store.db(), domain.id);  // its QEMU may have been registered before the mark
    if (kill && !XLSTORE_MUTATION("dead before the document")) {
        if (unseen_qemu == Unseen::is_dead && is_unknown(*row)) why = assumed(*row);
        auto killed = co_await kill_qemu(store, *row, unseen_qemu, until);
        if (!killed) co_return killed;
    }
    if (why.empty()) why = proved_end(store, *row);
    XLSTORE_TRACE("destroy.dead", value_of(row->id));
    reap_programs();
    if (auto cleared = co_await clear_own(store, *row, kill, until); !cleared) co_return cleared;
    remove_socket(store, *row);
    remove_log(store, *row);
    why += left_alone(*row);
    if (ends != Ends::row) {
        auto ended = co_await end_devices(store, *row, until);
        if (!ended) co_return std::move(ended).error();
        why += *ended;
    }
    XLSTORE_CRASH_POINT("destroy.before_end");
    co_return co_await let_document_go(store, *row, std::move(why), until);
}

// What the row says of a destruction that ended with an error; one that was taken back was never
// marked. Nothing: it cannot be read.
std::optional<DomainState> state_now(Store& store, DomainId domain) noexcept
{
    try {
        const auto row = read_domain(store.db(), domain);
        if (row) return row->state;
        return was_taken_back(store.db(), domain) ? DomainState::running : DomainState::destroyed;
    } catch (const std::exception&) {
        return std::nullopt;
    }
}

// R18: once the mark is committed, an error says that the destruction goes on, and by what.
Error not_at_its_end(const DomainRow& domain, Error failure) noexcept
{
    failure.code = Errc::unfinished;
    try {
        failure.message = domain.subject() +
                          ": its destruction has begun and is not at its end: " + failure.message;
        const std::string first = failure.advice.empty() ? "" : failure.advice + "; ";
        failure.advice = first + "'xlstore destroy id:" + std::to_string(value_of(domain.id)) +
                         "' or 'xlfsck -p' goes on where this one stopped";
    } catch (const std::bad_alloc&) {
        failure.advice.clear();
    }
    return failure;
}

// What is to be said of one that its caller gave up on the way.
Error cancelled(Store& store, const DomainRow& domain)
{
    const auto state = state_now(store, domain.id);
    if (state == DomainState::running || state == DomainState::creating)
        return Error(Errc::cancelled,
                     domain.subject() + ": its destruction was cancelled before it began");
    return not_at_its_end(domain, Error(Errc::unfinished, "it was cancelled"));
}

Task<Result<void>> end_domain(Store& store, DomainRow domain, Ends ends, Unseen unseen_qemu,
                              std::string why, Deadline until)
{
    const DomainRow row = domain;
    const auto given_up = [&] { return cancelled(store, row); };
    Result<void> ended;
    try {
        auto end =
            go_to_the_end(store, std::move(domain), ends, unseen_qemu, std::move(why), until);
        ended =
            co_await or_when_cancelled(store, Errc::unfinished, given_up, std::move(end));
    } catch (...) {
        ended = caught();
    }
    if (ended) co_return ended;
    const auto state = state_now(store, row.id);
    if (state == DomainState::destroyed)
        co_return Result<void>();  // what failed later does not count
    if ((!state || *state == DomainState::destroying) &&
        !XLSTORE_MUTATION("mark that is committed"))
        co_return not_at_its_end(row, std::move(ended).error());
    co_return ended;
}

}  // namespace

Task<std::optional<MarkedProcess>> find_left(Store& store, DomainRow domain, Deadline until)
{
    std::optional<MarkedProcess> none;
    if (!never_met(domain) || !of_this_boot(domain.registration->qemu)) co_return none;
    std::string mark = read_mark(store.db(), domain.id);
    if (mark.empty()) co_return none;
    co_return co_await find_marked(store.loop(), std::move(mark), until);
}

Task<Result<void>> destroy_domain(Store& store, DomainRow domain, Deadline until, std::string why)
{
    co_return co_await end_domain(store, std::move(domain), Ends::qemu_too, Unseen::is_refused,
                                  std::move(why), until);
}

Task<Result<void>> destroy_assumed_dead(Store& store, DomainRow domain, Deadline until)
{
    co_return co_await end_domain(store, std::move(domain), Ends::qemu_too, Unseen::is_dead, {},
                                  until);
}

Task<Result<void>> mark_destroying(Store& store, DomainRow domain, Deadline until)
{
    auto lock =
        co_await store.locks().acquire(store.loop(), LockKind::destroy, value_of(domain.id),
                                       store.make_claim("destroy"), domain.subject(), until);
    if (!lock) co_return std::move(lock).error();
    const auto row = read_domain(store.db(), domain.id);
    if (!row || row->state == DomainState::destroyed) co_return check_destroyed(store, domain);
    if (auto seen = look_first(*row, Unseen::is_refused); !seen) co_return seen;
    co_return co_await mark(store, *row, until);
}

Task<Result<void>> archive_domain(Store& store, DomainRow domain, std::string why, Deadline until)
{
    co_return co_await end_domain(store, std::move(domain), Ends::row, Unseen::is_refused,
                                  std::move(why), until);
}

Task<Result<void>> abandon_domain(Store& store, DomainRow domain, std::string why, Deadline until)
{
    co_return co_await end_domain(store, std::move(domain), Ends::devices_too, Unseen::is_refused,
                                  std::move(why), until);
}

Task<Result<void>> unregister_qemu(Store& store, DomainRow domain, SlowHold& hold, Deadline until)
{
    const auto row = read_domain(store.db(), domain.id);
    if (!row || !row->registration) co_return Result<void>();
    const auto pid = std::to_string(row->registration->qemu.pid);
    if (life_of(row->registration->qemu) != Life::dead)
        co_return Error(Errc::refused,
                        row->subject() + ": its QEMU (pid " + pid + ") is not proved dead");
    reap_programs();
    if (auto cleared = co_await clear_own(store, *row, false, until); !cleared) co_return cleared;
    const std::string evidence = "QEMU " + pid + " is dead";
    Journal journal(store);
    for (const auto id : open_intents(store.db(), row->id)) {
        auto intent = read_intent(store.db(), id);
        if (!intent) co_return std::move(intent).error();
        const Image image = intent->draft.verb == Verb::remove ? Image::after : Image::before;
        std::vector<Intent> alone(1, *std::move(intent));
        auto settled = co_await journal.settle(hold, std::move(alone), image, evidence, until);
        if (!settled) co_return settled;
    }
    remove_socket(store, *row);
    co_return co_await journal.commit(
        hold, "unregister QEMU", until,
        [&](const FastHold& fast) -> Result<void> {
            const auto number = value_of(fast.domain());
            store.db()
                .prepare(
                    "UPDATE thing SET state = 'stale', changed_us = ? WHERE domain = ? AND "
                    "primary_at = 'qemu' "
                    "AND state <> 'stale'")
                .bind(now_us())
                .bind(number)
                .run();
            clear_registration(store.db(), fast.domain());
            store.db()
                .prepare("UPDATE domain SET state = 'running', creator = NULL WHERE id = ?")
                .bind(number)
                .run();
            journal.add_history(
                HistoryLine{fast.domain(), "strike off", {}, {}, "done", {}, evidence});
            return {};
        },
        Room::reserve);
}

Task<Result<void>> end_qemu(Store& store, DomainRow domain, SlowHold& hold, Deadline until)
{
    auto killed = co_await kill_qemu(store, domain, Unseen::is_refused, until);
    if (!killed) co_return killed;
    if (auto cleared = co_await clear_own(store, domain, true, until); !cleared) co_return cleared;
    co_return co_await unregister_qemu(store, std::move(domain), hold, until);
}

}  // namespace xlstore
