// SPDX-License-Identifier: MIT
// xlfsck from the file system up, before there is an open store:
//
//   1. No database, and --rebuild: make an empty one.
//   2. Tell what an earlier salvage that was killed had not told yet.
//   3. A database that must not be opened (a header that is wrong, a log of another): look at a
//      private copy for damage.
//   4. One that went back or was copied: ask before it is made this place's store (R17).
//   5. Open it, past triggers that refuse each commit, and run the passes. Damage that any of
//      these steps meets is looked at a second time, over a fresh connection; if it is still there,
//      salvage replaces the database, once, and the passes run on what was saved.
#include "recovery/runs/fsck.hpp"

#include <sqlite3.h>

#include <filesystem>

#include "recovery/passes/schema_in_the_way.hpp"
#include "recovery/passes/wrong_numbers.hpp"
#include "recovery/runs/displaced_store.hpp"
#include "recovery/salvage/damage.hpp"
#include "recovery/salvage/integrity.hpp"
#include "recovery/salvage/salvage.hpp"
#include "store/core/store_files.hpp"
#include "store/model/store_paths.hpp"
#include "store/os/file_upkeep.hpp"

namespace xlstore::recovery {

namespace {

// Opening it writes; a damaged table may be in the way already. `settle`: it was agreed to.
Result<std::unique_ptr<Store>> open(const StoreOptions& where, Mode mode, bool settle,
                                    std::optional<std::string>& damage)
{
    try {
        auto store = mode == Mode::look ? Store::open_untouched(where)
                     : settle           ? Store::open_and_reconcile(where)
                                        : Store::open(where);
        if (store) return store;
        if (auto seen = damage_of(where.directory)) damage = *std::move(seen);
        return store;
    } catch (const DbError& e) {
        if (!is_damage(e)) throw;
        damage = words_of_sqlite(e.reason());
        return Error(Errc::store, e.what());
    }
}

// That, and once more after what is in the way of each commit was put right.
Result<std::unique_ptr<Store>> open_past_schema(Check& check, const StoreOptions& where,
                                                bool settle, std::optional<std::string>& damage)
{
    std::optional<DbError> refused;
    try {
        return open(where, check.options().mode, settle, damage);
    } catch (const DbError& e) {
        const int code = e.extended_code() & 0xff;
        if (code != SQLITE_CONSTRAINT && code != SQLITE_ERROR) throw;
        refused = e;
    }
    if (!check.looking_only() && mend_schema_in_the_way(check, where))
        return open(where, check.options().mode, settle, damage);
    damage = damage_met(where.directory, *refused);
    if (!damage) throw DbError(*refused);
    return Error(Errc::store, refused->what());
}

// What was asked about a store that went back or was copied.
struct Settling {
    std::optional<DisplacedStore> found;  // and the answer was yes
    std::unique_ptr<Store> left;          // the answer was no: open for looking
    bool is_displaced = false;            // whether or not that could be asked
};

// Only where there is something to write: a look is told of it by run_passes(). What stands in the
// way of the look stands in the way of opening it, too, which says so.
Settling ask_about_place(Check& check, const StoreOptions& where)
{
    if (check.looking_only() || !Store::displacement_of(where.directory)) return {};
    auto store = Store::open_untouched(where);
    if (!store || !(*store)->displaced()) return Settling{std::nullopt, nullptr, true};
    if (!has_own_row((*store)->db())) return {};  // that comes first: it counts no commits
    std::optional<DisplacedStore> found;
    try {
        found = look_at_displaced(**store);
    } catch (const DbError& e) {
        if (!damage_met(where.directory, e)) throw;
        return Settling{std::nullopt, nullptr, true};  // that comes first
    }
    if (problem(found->code).question.empty())
        check.report(found->code, found->about);
    else if (check.ask(found->code, found->about))
        return Settling{std::move(found), nullptr, true};
    return Settling{std::nullopt, *std::move(store), true};
}

// Where its files are, with what is asked before that.
struct Opened {
    std::unique_ptr<Store> store;
    std::optional<std::string> damage;  // in its place: it has to be saved first
    std::unique_ptr<Store> left;        // in its place: it is not this place's store, and stays so
};

// Again after a salvage, which is no answer to the question whose store it is (R17).
Result<Opened> open_here(Check& check, const StoreOptions& where)
{
    Opened opened;
    auto settling = ask_about_place(check, where);
    // What is written may stand in the log that settling keeps.
    if (!settling.is_displaced && !check.looking_only()) mend_numbers(check, where);
    Result<std::unique_ptr<Store>> store = std::unique_ptr<Store>();
    const auto try_to = [&] {
        opened.left = std::move(settling.left);
        if (!opened.left)
            store = open_past_schema(check, where, settling.found.has_value(), opened.damage);
    };
    try_to();
    // A missing lock file is made anew by that, and tells only then that it is a new one (R17).
    if (!store && !opened.damage && !settling.found) {
        settling = ask_about_place(check, where);
        if (settling.left || settling.found) try_to();
    }
    if (opened.left) return opened;
    if (!store && !opened.damage) return std::move(store).error();
    if (store) opened.store = *std::move(store);
    if (settling.found && opened.store) {
        const auto& kept = opened.store->kept_log();
        if (!kept.empty()) settling.found->about.evidence += "; its log is kept as " + kept;
        check.fixed(settling.found->code, settling.found->about);
    }
    return opened;
}

// One that is not this place's, and stays so. A damaged one cannot be read, and is not saved
// either.
Result<Checked> as_it_is(Check& check, const std::string& directory, std::unique_ptr<Store> store)
{
    const auto damage = damage_of(directory);
    if (!damage || !*damage) return Checked{check.so_far(), std::move(store)};
    check.report(Code::database_damaged, Subject{"store.db", **damage});
    return Checked{check.so_far(), nullptr};
}

}  // namespace

Result<Checked> fsck(const StoreOptions& given, Options options, const std::string& domain)
{
    StoreOptions where = given;
    where.directory = absolute_path(std::move(where.directory));
    if (auto ok = Store::check_process(); !ok) return ok.error();
    if (auto ok = check_no_link(where.directory); !ok) return ok.error();
    where.directory = in_real_directory(where.directory);
    options.only.reset();
    Check check(std::move(options));
    const auto unsafe = is_unsafe_to_open(where.directory);
    if (!unsafe) return unsafe.error();
    if (check.options().rebuild && !*unsafe &&
        !std::filesystem::exists(StorePaths(where.directory).database()) &&
        !make_empty(check, where.directory))
        return Checked{check.so_far(), nullptr};
    if (!*unsafe) tell_what_salvage_lost(check, where);
    const auto seen = file_identity(StorePaths(where.directory).database());
    std::optional<std::string> damage;
    if (*unsafe) {
        auto looked = damage_of(where.directory);
        if (!looked) return std::move(looked).error();
        damage = *std::move(looked);
    }
    std::unique_ptr<Store> store;
    for (bool saved = false;; saved = true) {
        if (!damage) {
            auto opened = open_here(check, where);
            if (!opened) return std::move(opened).error();
            if (opened->left) return as_it_is(check, where.directory, std::move(opened->left));
            store = std::move(opened->store);
            damage = std::move(opened->damage);
        }
        if (damage && !saved) {
            damage = seen_again(check, where.directory, *damage);
            if (!damage) return Checked{check.so_far(), nullptr};
        }
        if (!damage) {
            if (!domain.empty()) {
                auto row = find_domain(store->db(), domain);
                if (!row) return std::move(row).error();
                check.only(row->id);
            }
            damage = store->loop().wait_for(run_passes(check, *store));
        }
        if (damage && saved) check.report(Code::database_damaged, Subject{"store.db", *damage});
        if (!damage || saved)
            return Checked{check.so_far(), std::move(store), check.options().only};
        store.reset();
        if (!salvage(check, where.directory, *damage, seen))
            return Checked{check.so_far(), nullptr};
        damage.reset();
    }
}

}  // namespace xlstore::recovery
