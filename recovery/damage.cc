// SPDX-License-Identifier: MIT
#include "recovery/damage.hpp"

#include <filesystem>

#include "recovery/damaged_database.hpp"
#include "recovery/integrity.hpp"
#include "store/db.hpp"
#include "store/new_database.hpp"
#include "store/private_copy.hpp"

namespace xlstore::recovery {

namespace fs = std::filesystem;

bool was_broken_off(const std::string& directory)
{
    return !fs::exists(directory + "/store.db") && fs::exists(directory + kBeingSaved);
}

Result<std::optional<std::string>> damage_of(const std::string& directory)
{
    using Damage = std::optional<std::string>;
    if (was_broken_off(directory))
        return Damage("there is no store.db: saving what is in store.db.saving was broken off");
    if (!fs::exists(directory + "/store.db")) return Damage();
    const auto copy = PrivateCopy::make(directory + "/store.db");
    if (!copy) return copy.error();
    try {
        Db db((*copy)->database(), Db::Mode::read_only);
        db.call_it(directory + "/store.db");
        (void)db.pragma_integer("SELECT count(*) FROM store");
        auto found = integrity_of(db);
        // Indexes are made anew where they stand.
        if (found.lines.empty() || found.indexes_alone) return Damage();
        return Damage(std::move(found.lines));
    } catch (const DbError& e) {
        if (is_damage(e)) return Damage(words_of_sqlite(e.reason()));
        return error_of(e);
    }
}

std::optional<std::string> seen_again(Check& check, const std::string& directory,
                                      const std::string& first)
{
    auto again = damage_of(directory);
    if (again && *again) return *std::move(again);
    const auto second = again ? "a second look over a fresh connection found nothing wrong"
                              : "a second look failed: " + again.error().message;
    check.report(Code::database_unseen, Subject{directory + "/store.db", first + "; " + second});
    return std::nullopt;
}

}  // namespace xlstore::recovery
