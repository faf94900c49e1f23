// SPDX-License-Identifier: MIT
#include "recovery/fsck.hpp"

#include <filesystem>

#include "recovery/damage.hpp"
#include "recovery/damaged_database.hpp"
#include "recovery/salvage.hpp"

namespace xlstore::recovery {

namespace {

// Opening it writes; a damaged table may be in the way already.
Result<std::unique_ptr<Store>> open(const StoreOptions& where, Mode mode,
                                    std::optional<std::string>& damage)
{
    try {
        auto store = mode == Mode::look ? Store::open_untouched(where) : Store::open(where);
        if (store) return store;
        if (auto seen = damage_of(where.directory)) damage = *std::move(seen);
        return store;
    } catch (const DbError& e) {
        if (!is_damage(e)) throw;
        damage = words_of_sqlite(e.reason());
        return Error(Errc::store, e.what());
    }
}

}  // namespace

Result<Checked> fsck(const StoreOptions& given, Options options, const std::string& domain)
{
    StoreOptions where = given;
    where.directory = absolute_path(std::move(where.directory));
    if (auto ok = Store::check_process(); !ok) return ok.error();
    options.only.reset();
    Check check(std::move(options));
    std::optional<std::string> damage;
    if (check.options().rebuild && !std::filesystem::exists(where.directory + "/store.db") &&
        !was_broken_off(where.directory) && !make_empty(check, where.directory))
        return Checked{check.so_far(), nullptr};
    const auto seen = file_identity(where.directory + "/store.db");
    auto store = open(where, check.options().mode, damage);
    if (!store && !damage) return std::move(store).error();
    if (damage) {
        damage = seen_again(check, where.directory, *damage);
        if (!damage) return Checked{check.so_far(), nullptr};
    }
    for (bool saved = false;; saved = true) {
        if (!damage) {
            if (!domain.empty()) {
                auto row = find_domain((*store)->db(), domain);
                if (!row) return std::move(row).error();
                check.only(row->id);
            }
            damage = (*store)->loop().wait_for(run_passes(check, **store));
        }
        if (damage && saved) check.report(Code::database_damaged, Subject{"store.db", *damage});
        if (!damage || saved)
            return Checked{check.so_far(), *std::move(store), check.options().only};
        if (store) store->reset();
        if (!salvage(check, where.directory, *damage, seen))
            return Checked{check.so_far(), nullptr};
        damage.reset();
        store = open(where, check.options().mode, damage);
        if (!store) return std::move(store).error();
    }
}

}  // namespace xlstore::recovery
