// SPDX-License-Identifier: MIT
// A run over an open store: pass 0 (of one who only looks beside what rows alone tell, see
// rows_beside_integrity()); then, gathered so that findings come in the order of domids, pass 1,
// --rebuild where it was asked for, and passes 3 to 5 of each domain; then 2 and 6. Up to 100
// domains are at work side by side on one loop, each with its own deadline: a QEMU that is silent
// costs its own time and one place. Pass 3 of all domains comes before pass 4 of any. Where a
// person is asked, domains come one after the other instead. What is thrown at one domain is a
// finding of that one.
#include "recovery/runs/recover.hpp"

#include <fcntl.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <set>

#include "recovery/passes/passes.hpp"
#include "recovery/rebuild/rebuild.hpp"
#include "recovery/runs/displaced_store.hpp"
#include "recovery/salvage/damage.hpp"
#include "recovery/salvage/damaged_database.hpp"
#include "recovery/salvage/integrity_beside.hpp"
#include "store/core/on_cancel.hpp"
#include "store/operation/host_xenstore.hpp"

namespace xlstore::recovery {

namespace {

// Domains at a time: a QEMU that does not answer costs its own deadline and one place among these.
// Each takes a lock, a connection, and at times a descriptor or two more.
constexpr std::size_t kSideBySide = 100;

Task<void> primaries(Check& check, Store& store, DomainRow domain, UndoRecorder* undo)
{
    const auto row = read_domain(store.db(), domain.id);  // as pass 3 left it
    if (!row || row->state != DomainState::running) co_return;
    // Dead or unseen: pass 3 has spoken of it.
    if (!row->registration || life_of(row->registration->qemu) != Life::alive) {
        co_await pass5_xenstore(check, store, *row, undo, nullptr, false);
        co_return;
    }
    // Its slow lock is held to the end: what xenstore says of QEMU's things follows from QEMU.
    auto reached = co_await Reached::reach(check, store, *row);
    co_await pass4_intents(check, store, *row, reached);
    const bool seen = co_await pass5_primaries(check, store, *row, reached);
    co_await pass5_xenstore(check, store, *row, undo, &reached, seen);
}

// What breaks at one domain (a full disk at its settle) is said of that one, and keeps no other
// from its turn.
Task<void> apart(Check& check, Code unseen, Subject about, Task<void> passes)
{
    std::optional<Error> failure;
    try {
        co_await std::move(passes);
    } catch (...) {
        failure = caught();
    }
    if (!failure) co_return;
    about.evidence = std::move(failure->message);
    check.report(unseen, about);
}

class SideBySide {
public:
    SideBySide(Check& check, Store& store, int pass, std::vector<DomainRow> domains,
               UndoRecorder* undo)
        : check_(check), store_(store), pass_(pass), domains_(std::move(domains)), undo_(undo)
    {}

    Task<void> run()
    {
        const std::size_t places = std::min(kSideBySide, domains_.size());
        std::vector<Task<void>> workers;
        for (std::size_t i = 0; i < places; ++i)
            workers.push_back(work());
        CurrentScope current;
        const TaskScope* scope = co_await current;
        for (auto& worker : workers)
            worker.start(scope);
        for (auto& worker : workers)
            co_await worker.join();
    }

    /// Those that run, once pass 3 is over.
    [[nodiscard]] std::vector<DomainRow> living()
    {
        std::ranges::sort(living_, {}, &DomainRow::domid);
        return std::move(living_);
    }

private:
    Task<void> work()
    {
        while (next_ < domains_.size() && !check_.cancelled()) {
            DomainRow domain = std::move(domains_[next_++]);
            check_.progress(pass_, static_cast<int>(next_) - 1, static_cast<int>(domains_.size()));
            Subject about{domain.subject(), {}, domain.domid};
            std::optional<std::multiset<std::int64_t>::iterator> place;
            if (pass_ == 4) place = at_work_.insert(domain.domid);
            const Code unseen = pass_ == 4 ? Code::primary_unseen : Code::qemu_unseen;
            co_await apart(check_, unseen, std::move(about), look_at(std::move(domain)));
            if (!place) continue;
            at_work_.erase(*place);
            release();
        }
    }

    Task<void> look_at(DomainRow domain)
    {
        if (pass_ == 4) {
            co_await primaries(check_, store_, std::move(domain), undo_);
            co_return;
        }
        const bool lives = co_await pass3_lifecycle(check_, store_, domain.id);
        if (lives) living_.push_back(std::move(domain));
    }

    // Pass 4 is the last that speaks of a domain: what lies below the lowest that is not over yet
    // can be told. They come in the order of domid.
    void release()
    {
        if (!at_work_.empty())
            check_.release(*at_work_.begin());
        else if (next_ < domains_.size())
            check_.release(domains_[next_].domid);
    }

    Check& check_;
    Store& store_;
    int pass_;
    std::vector<DomainRow> domains_;
    UndoRecorder* undo_;
    std::vector<DomainRow> living_;
    std::size_t next_ = 0;
    std::multiset<std::int64_t> at_work_;  // domids
};

// Passes 3 to 5 of one domain.
Task<void> one_domain(Check& check, Store& store, DomainRow domain, UndoRecorder* undo)
{
    const bool lives = co_await pass3_lifecycle(check, store, domain.id);
    if (lives) co_await primaries(check, store, std::move(domain), undo);
}

// In the order of domid. Of a domain whose QEMU is dead there is only what xenstore has.
std::vector<DomainRow> to_be_looked_into(LivesSeen glance, std::vector<DomainRow> living)
{
    std::ranges::move(glance.living, std::back_inserter(living));
    if (has_host_xenstore()) std::ranges::move(glance.without_qemu, std::back_inserter(living));
    std::ranges::sort(living, {}, &DomainRow::domid);
    return living;
}

// Passes 3 to 5. Where a human is asked, all questions of one domain come one after the other.
Task<void> all_of(Check& check, Store& store, LivesSeen glance, UndoRecorder* undo)
{
    auto domains = std::move(glance.others);
    if (check.options().mode != Mode::ask) {
        SideBySide lives(check, store, 3, std::move(domains), undo);
        co_await lives.run();
        SideBySide primaries(check, store, 4, to_be_looked_into(std::move(glance), lives.living()),
                             undo);
        co_await primaries.run();
        co_return;
    }
    int number = 0;
    for (auto& domain : domains) {
        if (check.cancelled()) co_return;
        check.progress(3, number++, static_cast<int>(domains.size()));
        Subject about{domain.subject(), {}, domain.domid};
        co_await apart(check, Code::primary_unseen, std::move(about),
                       one_domain(check, store, std::move(domain), undo));
    }
}

// What needs nothing but rows, and the lives of processes: pass 0 but for SQLite's integrity check,
// pass 1 and the glance of pass 3. From pass 1 on what is found of one domain is told together, and
// domains in the order of domid, so that two runs can be compared.
Task<DatabaseState> rows_in_order(Check& check, Store& store, LivesSeen& lives, UndoRecorder* undo)
{
    auto database = co_await pass0_rows(check, store, undo);
    if (!database.sound) co_return database;
    if (undo) undo->begin();
    check.gather();
    co_await pass1_documents(check, store);
    const auto& only = check.options().only;
    if (check.options().rebuild && !only) co_await rebuild(check, store);
    auto domains = living_domains(store.db());
    if (only) std::erase_if(domains, [&](const DomainRow& d) { return d.id != *only; });
    if (check.looking_only())
        lives = glance_at_lives(check, store, std::move(domains));
    else
        lives.others = std::move(domains);
    co_return database;
}

// What the thread could not read where two connections need descriptors and memory, one alone may.
Integrity beside_or_alone(IntegrityBeside& integrity, Db& db)
{
    try {
        return integrity.found();
    } catch (const DbError& e) {
        if (is_damage(e)) throw;
    }
    return integrity_of(db);
}

// SQLite's integrity check is as much work as all that follows of rows. One who only looks does
// both side by side: what the rows of a damaged database say is then dropped, not told, and what
// was thrown at them too. Nothing but rows is looked at until the check is through: no QEMU is
// asked for what such a row says, and a row is read anew before it is acted on. Where something is
// repaired that comes after the check. Of a sound database the rows at which something was thrown
// are looked at once more, alone: the check may have had the descriptor that they needed.
Task<DatabaseState> rows_beside_integrity(Check& check, Store& store, LivesSeen& lives,
                                          IntegrityBeside& integrity)
{
    check.await_proof();
    DatabaseState rows;
    bool to_the_end = true;
    try {
        const EndsAtDamage ends(store.db(), integrity);
        rows = co_await rows_in_order(check, store, lives, nullptr);
    } catch (...) {
        to_the_end = false;
    }
    auto unproved = check.unproved();
    auto database = co_await pass0_integrity(
        check, store, [&] { return beside_or_alone(integrity, store.db()); });
    if (!database.sound) co_return database;
    if (!to_the_end) {
        lives = {};
        co_return co_await rows_in_order(check, store, lives, nullptr);
    }
    check.proved(std::move(unproved));
    co_return rows;
}

// A second connection's are kept to the end of the run: SQLite closes none of a file that another
// connection has locked.
bool has_descriptors_to_spare()
{
    constexpr std::size_t kSpare = 8;
    std::vector<Fd> spare;
    while (spare.size() < kSpare) {
        Fd one(::open("/", O_PATH | O_CLOEXEC));
        if (!one) return false;
        spare.push_back(std::move(one));
    }
    return true;
}

Task<DatabaseState> database_and_rows(Check& check, Store& store, LivesSeen& lives,
                                      UndoRecorder* undo)
{
    const auto& options = check.options();
    // --rebuild asks QEMUs between the two.
    if (options.threads && check.looking_only() && options.every_page && !options.rebuild &&
        has_descriptors_to_spare()) {
        IntegrityBeside integrity(store.connect_beside());
        if (integrity.has_begun())
            co_return co_await rows_beside_integrity(check, store, lives, integrity);
    }
    auto database = co_await pass0_integrity(
        check, store, [&] { return options.every_page ? integrity_of(store.db()) : Integrity{}; });
    if (!database.sound) co_return database;
    co_return co_await rows_in_order(check, store, lives, undo);
}

Task<DatabaseState> domains_in_order(Check& check, Store& store, UndoRecorder* undo)
{
    try {
        LivesSeen lives;
        auto database = co_await database_and_rows(check, store, lives, undo);
        if (database.sound) co_await all_of(check, store, std::move(lives), undo);
        check.release_all();
        co_return database;
    } catch (...) {
        check.release_all();
        throw;
    }
}

// Nothing: to its end; else what is wrong with the database.
Task<std::optional<std::string>> passes_in_order(Check& check, Store& store, UndoRecorder* undo)
{
    auto database = co_await domains_in_order(check, store, undo);
    if (!database.damage.empty()) co_return seen_again(check, store.directory(), database.damage);
    if (!database.sound) co_return std::nullopt;
    note_xenstore_absent(check, store);
    // Last, since a dead session's row stays for as long as an open intent names it.
    if (!check.options().only && !check.cancelled()) co_await pass2_sessions(check, store);
    if (!check.options().only && !check.cancelled()) pass6_surroundings(check, store);
    if (!check.options().only && !check.cancelled()) co_await pass6_xenstore(check, store, undo);
    if (!check.options().only && !check.cancelled()) co_await pass6_keeping(check, store);
    co_return std::nullopt;
}

std::string_view mode_name(Mode mode)
{
    switch (mode) {
    case Mode::look:
        return "look";
    case Mode::preen:
        return "preen";
    case Mode::yes:
        return "yes";
    case Mode::ask:
        break;
    }
    return "ask";
}

}  // namespace

Task<Result<void>> unless_full(Task<Result<void>> commit)
{
    std::optional<Error> full;
    try {
        co_return co_await std::move(commit);
    } catch (const DbError& e) {
        if (!is_no_room(e)) throw;
        full = error_of(e);
    }
    full->message += "; nothing was done";
    co_return *std::move(full);
}

namespace {

Task<std::optional<std::string>> all_passes(Check& check, Store& store)
{
    check.progress(0, 0, 1);
    // Open for looking, then: nothing can be done about it. Damage comes first.
    if (store.displaced() && has_own_row(store.db())) {
        const auto found = look_at_displaced(store);
        if (check.ask(found.code, found.about))
            check.failed(found.code, found.about,
                         Error(Errc::refused, "it is open for looking only", "run xlfsck"));
    }
    std::optional<UndoRecorder> undo;  // R22
    if (!check.looking_only()) undo.emplace(store, mode_name(check.options().mode));
    const TaskScope scope{Room::reserve, undo ? undo->token() : ""};
    auto damage = co_await passes_in_order(check, store, undo ? &*undo : nullptr).in(scope);
    if (!damage && store.is_behind())
        check.report(Code::database_behind, Subject{store.directory()});
    co_return std::move(damage);
}

}  // namespace

// Damage can be in the way of any read, not of those of pass 0 alone: of the look whose store it
// is, to begin with.
Task<std::optional<std::string>> run_passes(Check& check, Store& store)
{
    std::string met;
    try {
        co_return co_await all_passes(check, store);
    } catch (const DbError& e) {
        auto damage = damage_met(store.directory(), e);
        if (!damage) throw;
        met = *std::move(damage);
    }
    co_return seen_again(check, store.directory(), met);
}

Task<Result<Report>> recover(Store& store, Options options)
{
    Check check(std::move(options));
    const auto given_up = [] {
        return Error(Errc::cancelled,
                     "recovery was cancelled; what it had repaired until then stays repaired",
                     "run it again for the rest");
    };
    const auto damage = co_await or_when_cancelled(store, Errc::cancelled, given_up,
                                                   run_passes(check, store));
    const Subject about{"store.db", damage.value_or("")};
    // The caller has it open, which is in the way.
    const Error open(Errc::refused, "it can only be replaced when no process has the store open",
                     "close the store, and run xlfsck");
    if (damage && check.ask(Code::database_damaged, about))
        check.failed(Code::database_damaged, about, open);
    co_return check.so_far();
}

}  // namespace xlstore::recovery
