// SPDX-License-Identifier: MIT
//   1. end_earlier_life, free_names: rows of domains that are over make room, with proof, and only
//      once the monitor that was named has answered.
//   2. The document is imported, its QEMU registered: two commits. What fails between them takes
//      the import back. A row that another adoption may take back is relied on by a commit, too.
//   3. Where another process was faster, all is looked at anew, with what is left of the time.
//
// Progress has what was committed so far: an adoption that comes to no good end says it (R18).
#include "store/lifecycle/adoption.hpp"

#include <functional>
#include <optional>
#include <utility>

#include "store/base/file_identity.hpp"
#include "store/base/limits.hpp"
#include "store/core/journal.hpp"
#include "store/core/on_cancel.hpp"
#include "store/libxl/host_hold.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/lifecycle/first_contact.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/model/document.hpp"
#include "store/operation/edit.hpp"
#include "store/operation/grace.hpp"
#include "store/operation/host_xenstore.hpp"
#include "store/operation/nodes_fate.hpp"
#include "store/os/process.hpp"

namespace xlstore {

namespace {

struct Progress {
    std::string archived;  // the domains whose rows made room
    std::optional<DomainRow> imported;
    int turns = 2;           // that are left, of those after something was in the way
    bool overtaken = false;  // what this turn had read, another process has changed since

    [[nodiscard]] std::string words() const
    {
        return archived.empty() ? "" : "; before that it archived what is over: " + archived;
    }
};

std::optional<DomainRow> living_row(Db& db, std::int64_t domid)
{
    for (auto& row : living_domains(db))
        if (row.domid == domid) return std::move(row);
    return std::nullopt;
}

// Before a row makes room for this domain: is its monitor what it was said to be?
Task<Result<void>> meet_first(Store& store, const Adoption& adoption, const Document& document,
                              Deadline until)
{
    if (!adoption.monitor_path) co_return Result<void>();
    const libxl::FileOwner owner{adoption.domid, document.uuid};
    auto beside =
        co_await libxl::HostHold::take(store.loop(), *adoption.monitor_path, owner, until);
    if (!beside) co_return std::move(beside).error();
    std::string subject = "domain " + std::to_string(adoption.domid) + " (" + document.name + ")";
    std::optional<ProcessId> any;
    auto met = co_await contact_running(store, std::move(subject), *adoption.monitor_path,
                                        std::move(any), false, until);
    if (!met) co_return std::move(met).error();
    co_return Result<void>();
}

// In what the judgement depends on. A slow hold advances the epoch; an end or a new name does not.
bool is_changed(const DomainRow& judged, const DomainRow& now)
{
    return now.epoch != judged.epoch || now.state != judged.state || now.name != judged.name ||
           now.vm_uuid != judged.vm_uuid;
}

// What was judged was read before the monitor was waited for. Under the slow lock no process gives
// the row a QEMU, or a new life by that.
Task<Result<void>> make_room(Store& store, DomainRow judged, std::string why, Progress& progress,
                             Deadline until)
{
    const std::string subject = judged.subject();
    DomainRow row;
    const auto hold = co_await store.slow_lock(judged.id, subject, "adopt", until, &row);
    if (!hold) {
        if (hold.error().code == Errc::not_found) co_return Result<void>();  // it makes room itself
        co_return hold.error();
    }
    if (row.state == DomainState::destroyed) co_return Result<void>();
    if (is_changed(judged, row)) {
        progress.overtaken = true;
        co_return Error(
            Errc::exists, subject + " is in the way, and another process goes on with its row",
            "nothing was changed; 'xlstore show id:" + std::to_string(value_of(row.id)) +
                "' has it");
    }
    auto archived = co_await archive_domain(store, std::move(row), std::move(why), until);
    if (archived) progress.archived += (progress.archived.empty() ? "" : ", ") + subject;
    co_return archived;
}

Error not_over(const DomainRow& row, const std::string& why)
{
    return Error(Errc::exists, row.subject() + ": another uuid than the domain's, and " + why,
                 "nothing was changed; 'xlstore show' has it, 'xlstore destroy id:" +
                     std::to_string(value_of(row.id)) + "' ends it");
}

// No domain outlives its boot: one of the same uuid was started anew since.
bool is_of_older_boot(Store& store, const DomainRow& row)
{
    return row.boot_id != store.self().boot_id;
}

// A life of the domid that its toolstack ended without telling the store. Of a row without a QEMU
// xenstored is asked.
Task<Result<void>> check_over(Store& store, const DomainRow& row, Deadline until)
{
    if (is_of_older_boot(store, row)) co_return Result<void>();
    if (row.state == DomainState::creating)
        co_return not_over(row,
                           "it is being created; if its creator died, 'xlstore recover' "
                           "ends or finishes that");
    if (row.registration) {
        if (life_of(row.registration->qemu) == Life::dead) co_return Result<void>();
        co_return not_over(row, "its QEMU (pid " + std::to_string(row.registration->qemu.pid) +
                                    ") is not known to be dead");
    }
    const Deadline asking = xenstore_deadline(until);
    auto client = co_await connect_to_xenstore(store, asking);
    std::optional<Error> unknown;
    if (!client) unknown = client.error();
    if (client) {
        auto vm = co_await client->read(vm_path(row), 0, asking);
        if (vm && judge_domain(row, *vm))
            co_return not_over(row, "Xen has it: " + vm_path(row) + " names it");
        if (!vm) unknown = vm.error();
    }
    if (!unknown) co_return Result<void>();
    co_return not_over(row, "whether Xen has it still is not known: " + unknown->message);
}

Task<Result<void>> end_earlier_life(Store& store, DomainRow row, const Adoption& adoption,
                                    const Document& document, Progress& progress, Deadline until)
{
    if (auto over = co_await check_over(store, row, until); !over) co_return over;
    if (auto met = co_await meet_first(store, adoption, document, until); !met) co_return met;
    std::string why = is_of_older_boot(store, row)
                          ? kBootIsOver
                          : "its domid is another domain's now, and it has no QEMU";
    co_return co_await make_room(store, std::move(row), std::move(why), progress, until);
}

// A toolstack that did not tell the store has ended the domain that had the name: xenstore has
// nothing of it. Empty: it may go on.
Task<std::string> why_name_is_free(Store& store, const DomainRow& row, Deadline until)
{
    std::string why;
    if (row.state == DomainState::creating) co_return why;
    if (row.registration && life_of(row.registration->qemu) != Life::dead) co_return why;
    const auto known = co_await has_xenstore_domain(store.loop(), row.domid, until);
    if (known && !*known) why = "Xen has it no more, and another domain has its name";
    co_return why;
}

// Names and, of an older boot, uuids. What is not known to be over stays, and the import is
// refused.
Task<Result<void>> free_names(Store& store, const Adoption& adoption, const Document& document,
                              Progress& progress, Deadline until)
{
    for (auto& row : living_domains(store.db())) {
        if (row.domid == adoption.domid) continue;
        const bool older = is_of_older_boot(store, row);
        const bool same_uuid = document.uuid == row.vm_uuid.value_or(row.uuid);
        if (row.name != document.name && !(older && same_uuid)) continue;
        std::string why = kBootIsOver;
        if (!older) why = co_await why_name_is_free(store, row, until);
        if (why.empty()) continue;
        if (auto met = co_await meet_first(store, adoption, document, until); !met) co_return met;
        auto room = co_await make_room(store, std::move(row), std::move(why), progress, until);
        if (!room) co_return room;
    }
    co_return Result<void>();
}

// A row of the same domain that is on its way into life or out of it is not this one's to change.
Result<void> check_runs(const DomainRow& row)
{
    const std::string id = "id:" + std::to_string(value_of(row.id));
    if (row.state == DomainState::destroying)
        return Error(Errc::gone, row.subject() + " is being destroyed (R8)",
                     "nothing was changed; 'xlstore destroy " + id + "' goes on with that");
    if (row.state == DomainState::creating)
        return Error(Errc::conflict, row.subject() + " is still being created",
                     "nothing was changed; if its creator died, 'xlstore recover' finishes it or "
                     "marks it destroyed");
    return {};
}

// One that is registered stays as it is, if it is that one.
Result<void> check_same_monitor(const DomainRow& row, const std::string& path)
{
    const std::string& registered = row.registration->path;
    if (path == registered) return {};
    const auto there = file_identity(path);
    if (there && there == file_identity(registered)) return {};
    return Error(Errc::exists,
                 row.subject() + " has a QEMU registered, pid " +
                     std::to_string(row.registration->qemu.pid) + ", with the monitor " +
                     registered + ", which is not " + path,
                 "nothing was changed; name that one. If it cannot be reached: 'xlstore destroy' "
                 "ends the QEMU with its domain");
}

// R18: the adoption that imported it would take it back if it fails, and this one's answer with it.
Task<Result<DomainRow>> rely_on(Store& store, DomainRow row, Deadline until)
{
    const std::string operation("adopt");
    const std::function<Result<DomainRow>(const FastHold&)> section =
        [&](const FastHold& fast) -> Result<DomainRow> {
        const auto now = read_domain(store.db(), fast.domain());
        if (!now)
            return Error(Errc::not_found,
                         row.subject() + " is no longer in the store: its import was taken back",
                         "nothing was changed; try again");
        if (auto runs = check_runs(*now); !runs) return std::move(runs).error();
        if (auto living = advance_revision(store, fast, 0); !living)
            return std::move(living).error();
        Journal(store).add_history(HistoryLine{
            fast.domain(), "adopt", {}, {}, "done", {}, "its row was there, and stays as it is"});
        return *read_domain(store.db(), fast.domain());
    };
    co_return co_await store.with_fast_lock(row.id, operation, until, section);
}

// The row that is there, or was imported just now.
Task<Result<Registered>> go_on_with(Store& store, DomainRow row, Adoption adoption, bool imported,
                                    Deadline until)
{
    if (auto runs = check_runs(row); !runs) co_return std::move(runs).error();
    const bool lives = row.registration && life_of(row.registration->qemu) != Life::dead;
    if (lives && adoption.monitor_path)
        if (auto same = check_same_monitor(row, *adoption.monitor_path); !same)
            co_return std::move(same).error();
    if (adoption.monitor_path && !lives) {
        RegisterRequest request;
        request.monitor_path = *std::move(adoption.monitor_path);
        co_return co_await register_qemu(store, std::move(row), std::move(request), until);
    }
    if (!imported && is_as_imported(store.db(), row.id)) {
        auto relied = co_await rely_on(store, std::move(row), until);
        if (!relied) co_return std::move(relied).error();
        row = *std::move(relied);
    }
    Registered as_it_is{std::move(row), {}, {}};
    co_return std::move(as_it_is);
}

Task<Result<Registered>> adopt_in_steps(Store& store, Adoption adoption, Progress& progress,
                                        Deadline until)
{
    const auto document = parse_document(adoption.document, adoption.what);
    if (!document) co_return document.error();
    auto row = living_row(store.db(), adoption.domid);
    if (row && (row->uuid != document->uuid || is_of_older_boot(store, *row))) {
        auto ended =
            co_await end_earlier_life(store, *std::move(row), adoption, *document, progress, until);
        if (!ended) co_return std::move(ended).error();
        row.reset();
    }
    if (!row) {
        auto freed = co_await free_names(store, adoption, *document, progress, until);
        if (!freed) co_return std::move(freed).error();
        auto fresh =
            co_await import_domain(store, adoption.domid, adoption.document, adoption.what, until);
        if (!fresh) co_return std::move(fresh).error();
        progress.imported = *std::move(fresh);
        row = progress.imported;
    }
    const DomainId id = row->id;
    const bool imported = progress.imported && progress.imported->id == id;
    auto done = co_await go_on_with(store, *std::move(row), std::move(adoption), imported, until);
    if (!done && was_taken_back(store.db(), id)) progress.overtaken = true;
    co_return done;
}

// The import is taken back; what became of that is said with the failure.
Task<Error> without_its_row(Store& store, const DomainRow& imported, Error failure, Deadline until)
{
    Result<void> gone;
    try {
        gone = co_await take_back_import(store, imported, failure.message, settle_deadline(until));
    } catch (...) {
        gone = caught();
    }
    if (gone || gone.error().code == Errc::not_found) co_return failure;
    failure.message += "; its row stays: " + gone.error().message;
    if (gone.error().code == Errc::conflict) co_return failure;
    failure.code = Errc::unfinished;
    failure.advice = "xlstore_adopt again goes on";
    co_return failure;
}

// Each turn after which another process has overtaken this one is due to a commit of that one's.
// What is in the way may besides be the same adoption, by another process meanwhile: its row first,
// then its registration.
bool looks_again(const Error& failure, Progress& progress, Deadline until)
{
    if (std::exchange(progress.overtaken, false)) return Clock::now() < until;
    return failure.code == Errc::exists && progress.turns-- > 0;
}

// R18: what fails leaves no row of an import.
Task<Result<Registered>> adopt_or_take_back(Store& store, Adoption adoption, Progress& progress,
                                            Deadline until)
{
    Result<Registered> adopted = Error(Errc::no_memory, {});
    try {
        adopted = co_await adopt_in_steps(store, adoption, progress, until);
        while (!adopted && looks_again(adopted.error(), progress, until))
            adopted = co_await adopt_in_steps(store, adoption, progress, until);
    } catch (...) {
        adopted = caught();
    }
    if (adopted) co_return adopted;
    Error failure = std::move(adopted).error();
    failure.message += progress.words();
    if (!progress.imported) co_return failure;
    co_return co_await without_its_row(store, *progress.imported, std::move(failure), until);
}

// What is to be said of one that its caller gave up on the way. Nothing: it had changed nothing.
std::optional<Error> cancelled_adoption(Store& store, const Adoption& adoption,
                                        const Progress& progress)
{
    const auto row = progress.imported ? read_domain(store.db(), progress.imported->id)
                                       : std::optional<DomainRow>();
    if (row && row->state == DomainState::running)
        return Error(Errc::unfinished,
                     row->subject() +
                         ": its document came in, and its QEMU was to be registered; that was "
                         "cancelled on the way" +
                         progress.words(),
                     "xlstore_adopt again goes on");
    // An archive that was under way and has begun says so itself.
    auto left = store.take_left_answer();
    if (left && left->code == Errc::unfinished) left->message += progress.words();
    if (progress.archived.empty() || (left && left->code == Errc::unfinished)) return left;
    return Error(Errc::unfinished,
                 "domain " + std::to_string(adoption.domid) +
                     ": its adoption was cancelled on the way" + progress.words(),
                 "xlstore_adopt again goes on");
}

}  // namespace

Task<Result<Registered>> adopt_domain(Store& store, Adoption adoption, Deadline until)
{
    Progress progress;
    const auto given_up = [&] { return cancelled_adoption(store, adoption, progress); };
    auto all = adopt_or_take_back(store, adoption, progress, until);
    co_return co_await or_when_cancelled(store, Errc::unfinished, given_up, std::move(all));
}

}  // namespace xlstore
