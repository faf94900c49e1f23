// SPDX-License-Identifier: MIT
// Pass 0: the database itself.
//
// Checks     integrity, foreign keys, that rows do not contradict each other   (1-2);
//            which SQLite this is, the size of its log and who keeps it from shrinking (3-5);
//            that triggers and views are those of the store                    (7).
// Relies on  nothing but that the store could be opened (identity and version are checked there).
// Leaves     a database that can be read, or nothing for the other passes to do.
#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "recovery/base/quarantine.hpp"
#include "recovery/passes/passes.hpp"
#include "recovery/passes/wrong_numbers.hpp"
#include "recovery/salvage/dangling_rows.hpp"
#include "recovery/salvage/integrity.hpp"
#include "store/base/limits.hpp"
#include "store/database/low_numbers.hpp"
#include "store/database/tables.hpp"
#include "store/lock/lock_holders.hpp"
#include "store/model/store_paths.hpp"
#include "store/os/process.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

namespace {

// Fixed in 3.51.3, and in the branches 3.50 (.7) and 3.44 (.6). See DESIGN.md, Locks.
bool has_log_race()
{
    const int v = sqlite3_libversion_number();
    return !(v >= 3051003 || (v >= 3050007 && v < 3051000) || (v >= 3044006 && v < 3045000));
}

// Bytes of the log's index (-shm) that an open read transaction locks, by SQLite's file format.
constexpr std::int64_t kReadLockFirst = 123;
constexpr std::int64_t kReadLockLast = 127;
// A reader that is found twice with this between is no ordinary query.
constexpr auto kLookAgain = std::chrono::seconds(1);

std::vector<LockHolder> readers_of(const Store& store)
{
    const std::string index = StorePaths(store.directory()).log_index();
    const auto file = file_identity(index);
    if (!file) return {};
    auto readers = lock_holders(index, *file, kReadLockFirst, kReadLockLast);
    std::erase_if(readers, [&](const LockHolder& r) { return r.pid == store.self().pid; });
    return readers;
}

// Looked at from outside only: closing a file of the database would drop SQLite's locks on it.
Task<void> check_log(Check& check, Store& store)
{
    struct stat st {};
    const std::string log = StorePaths(store.directory()).log();
    if (stat(log.c_str(), &st) != 0 || st.st_size < static_cast<off_t>(limits::log_bytes_large))
        co_return;
    Subject about{"store.db-wal", std::to_string(st.st_size >> 20) + " MiB"};
    auto readers = readers_of(store);
    if (!readers.empty()) {
        (void)co_await store.loop().sleep(Clock::now() + kLookAgain);
        const auto again = readers_of(store);
        std::erase_if(readers, [&](const LockHolder& r) {
            return std::ranges::find(again, r.pid, &LockHolder::pid) == again.end();
        });
    }
    if (!readers.empty()) {
        for (const auto& reader : readers)
            about.evidence += ", read by " + describe(reader);
        check.report(Code::log_held, about);
        co_return;
    }
    if (!check.ask(Code::log_large, about)) co_return;
    const auto emptied = co_await store.empty_log(check.deadline());
    if (emptied)
        check.fixed(Code::log_large, about);
    else
        check.failed(Code::log_large, about, emptied.error());
}

// False: they are as they were.
Task<bool> rebuild_indexes(Check& check, Store& store, Subject about)
{
    const auto section = [&](const WriterHold&) -> Result<void> {
        store.db().execute("REINDEX");
        const auto still = integrity_of(store.db());
        if (still.lines.empty()) return {};
        return Error(Errc::store, "it is damaged all the same: " + still.lines);
    };
    std::optional<Error> failed;
    try {
        const auto done = co_await unless_full(
            store.with_writer_lock("rebuild indexes", check.deadline(), section));
        if (!done) failed = done.error();
    } catch (const DbError& e) {
        if (!is_damage(e)) throw;
        failed = Error(Errc::store, words_of_sqlite(e.reason()));
    }
    if (failed)
        check.failed(Code::index_damaged, about, *failed);
    else
        check.fixed(Code::index_damaged, about);
    co_return !failed;
}

// False: they are as they were, and only a new database is without them.
Task<bool> quarantine_dangling(Check& check, Store& store, Subject about)
{
    const auto section = [&](const WriterHold&) -> Result<void> {
        return mend_dangling_rows(store.db());
    };
    const auto done =
        co_await store.with_writer_lock("quarantine dangling rows", check.deadline(), section);
    if (!done && done.error().code == Errc::store) co_return false;
    if (done)
        check.fixed(Code::row_dangling, about);
    else
        check.failed(Code::row_dangling, about, done.error());
    co_return true;
}

// R22. An undo makes what holds no rows; a table's text is kept to be read.
void put_right(Db& db, const SchemaFlaw& flaw, UndoRecorder* undo)
{
    if (flaw.text.empty()) {
        if (undo) undo->keep_schema(flaw.type, flaw.name);
        return xlstore::put_right(db, flaw);
    }
    const auto text = [&] {
        auto row = db.prepare("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?");
        row.bind(flaw.name);
        return row.step() ? row.text(0) : std::string();
    }();
    xlstore::put_right(db, flaw);
    quarantine(db, std::nullopt, "table " + json_shown(flaw.name), "it " + flaw.what, text);
}

Task<void> check_schema(Check& check, Store& store, UndoRecorder* undo)
{
    const auto flaws = schema_flaws(store.db());
    for (const auto& flaw : flaws) {
        const Subject about{flaw.type + " " + json_shown(flaw.name), "it " + flaw.what};
        if (!flaw.can_be_put_right()) {
            check.report(Code::schema_changed, about);
            continue;
        }
        if (!check.ask(Code::schema_changed, about)) continue;
        const auto section = [&](const WriterHold&) -> Result<void> {
            // Another process may have put it right meanwhile.
            for (const auto& now : schema_flaws(store.db())) {
                if (now.name != flaw.name) continue;
                put_right(store.db(), now, undo);
            }
            return {};
        };
        const auto done = co_await unless_full(
            store.with_writer_lock("restore the schema", check.deadline(), section));
        if (done)
            check.fixed(Code::schema_changed, about);
        else
            check.failed(Code::schema_changed, about, done.error());
    }
}

// R17. No trigger can guard sqlite_sequence.
Task<void> check_numbers(Check& check, Store& store)
{
    if (store.is_behind() || store.displaced()) co_return;  // older than what is remembered
    const auto seen = store.locks().remembered();
    auto found = find_wrong_numbers(store.db(), seen);
    ask_about(check, found);
    if (found.empty()) co_return;
    const auto section = [&](const WriterHold&) -> Result<void> {
        put_numbers_right(store.db(), seen, numbers_of(found));
        return {};
    };
    tell(check, found,
         co_await unless_full(
             store.with_writer_lock("put numbers right", check.deadline(), section)));
}

// Import (but with --force) and creation refuse both. Stores of older releases have them, and what
// was imported by force or rebuilt. While libxl moves a domain within one host, its uuid is there
// twice, under names that libxl gives for that time. Until one of the two has another, neither can
// be named by them.
void check_identities(Check& check, Db& db)
{
    struct Shared {
        const char* what;
        const char* command;
        const char* pairs;
    };
    // Rows of an older boot are retired by pass 3.
    constexpr std::array<Shared, 2> kShared = {
        Shared{"name", "rename domid:# NAME",
               "SELECT b.domid, b.name, a.domid FROM domain a JOIN domain b ON a.name = b.name AND "
               "a.id < b.id WHERE a.state <> 'destroyed' AND b.state <> 'destroyed' AND "
               "coalesce(a.boot_id, ?1) = ?1 AND coalesce(b.boot_id, ?1) = ?1 ORDER BY b.id"},
        Shared{
            "uuid", "preserve domid:# NAME",
            // Values that are there twice first: SQLite makes no index of an expression for a
            // join, and would compare each domain with each.
            "SELECT b.domid, b.name, a.domid FROM (SELECT coalesce(vm_uuid, uuid) AS it FROM "
            "domain WHERE state <> 'destroyed' AND coalesce(boot_id, ?1) = ?1 GROUP BY it HAVING "
            "count(*) > 1) twice CROSS JOIN domain a ON coalesce(a.vm_uuid, a.uuid) = twice.it "
            "CROSS JOIN domain b ON coalesce(b.vm_uuid, b.uuid) = twice.it AND a.id < b.id "
            "WHERE a.state <> 'destroyed' "
            "AND b.state <> 'destroyed' AND b.uuid <> '00000000-0000-0000-0000-000000000000' AND "
            "coalesce(a.boot_id, ?1) = ?1 AND coalesce(b.boot_id, ?1) = ?1 AND NOT EXISTS "
            "(SELECT 1 FROM domain WHERE id IN (a.id, b.id) AND (name LIKE '%--incoming' OR "
            "name LIKE '%--migratedaway')) ORDER BY b.id"}};
    for (const auto& shared : kShared) {
        auto pairs = db.prepare(shared.pairs).bind(current_boot_id());
        while (pairs.step()) {
            std::string command = shared.command;
            command.replace(command.find('#'), 1, pairs.text(0));
            check.report(Code::database_breach,
                         Subject{"domain " + pairs.text(0) + " (" + pairs.text(1) + ")",
                                 std::string("it has the ") + shared.what + " of domain " +
                                     pairs.text(2) + ", too: 'xlstore " + command +
                                     "' gives it another",
                                 pairs.integer(0)});
        }
    }
}

}  // namespace

Task<DatabaseState> pass0_integrity(Check& check, Store& store, std::function<Integrity()> look)
{
    Db& db = store.db();
    try {
        const bool waits = check.looking_only() || check.options().mode == Mode::preen;
        auto damage = look();
        if (!damage.lines.empty() && damage.indexes_alone) {
            const Subject about{"store.db", damage.lines};
            if (!check.ask(Code::index_damaged, about)) co_return DatabaseState{false, {}};
            if (co_await rebuild_indexes(check, store, about)) damage = Integrity{};
        }
        if (auto resized = wrong_page_size(db); resized && damage.lines.empty()) {
            if (!waits) co_return DatabaseState{false, *std::move(resized)};
            check.report(Code::pages_resized, Subject{"store.db", *std::move(resized)});
        }
        // A row that names a missing one is in no other row's way: the other passes go on.
        if (!damage.lines.empty() && damage.rows_alone) {
            const Subject about{"store.db", damage.lines};
            bool go_on = !check.ask(Code::row_dangling, about);
            if (!go_on) go_on = co_await quarantine_dangling(check, store, about);
            if (go_on) damage = Integrity{};
        }
        if (!damage.lines.empty()) co_return DatabaseState{false, damage.lines};
    } catch (const DbError& e) {
        if (!is_damage(e)) throw;  // it could not be read, which is not the same
        co_return DatabaseState{false, words_of_sqlite(e.reason())};
    }
    co_return DatabaseState{};
}

Task<DatabaseState> pass0_rows(Check& check, Store& store, UndoRecorder* undo)
{
    Db& db = store.db();
    try {
        co_await check_numbers(check, store);  // nothing is committed while they are wrong
        co_await check_schema(check, store, undo);
        auto breaches = db.prepare(
            "SELECT domid, coalesce(class || '/' || key, ''), rule || ': ' || breach "
            "FROM invariant_breaches WHERE breach NOT LIKE '%no open intent says why'");  // pass 1
        while (breaches.step())
            check.report(Code::database_breach,
                         Subject{"domain " + breaches.text(0) + " " + breaches.text(1),
                                 breaches.text(2), breaches.integer(0)});
        check_identities(check, db);
    } catch (const DbError& e) {
        if (!is_damage(e)) throw;
        co_return DatabaseState{false, words_of_sqlite(e.reason())};
    }
    if (has_log_race())
        check.report(Code::log_race, Subject{std::string("SQLite ") + sqlite3_libversion()});
    co_await check_log(check, store);
    co_return DatabaseState{};
}

}  // namespace xlstore::recovery
