// SPDX-License-Identifier: MIT
#include "store/core/upgrade.hpp"

#include "store/core/domain.hpp"
#include "store/core/placing.hpp"
#include "store/database/tables.hpp"

namespace xlstore {

// Release 0.1 told where a thing is by the thing alone: the whole document says it.
void upgrade_rows(Db& db)
{
    add_steps(db);
    for (const auto& domain : living_domains(db))
        if (domain.state != DomainState::destroying) place_things(db, domain.id);
}

Result<void> upgrade_copy(const PrivateCopy& copy)
{
    try {
        Db db(copy.database(), Db::Mode::read_write);
        const KeysUnchecked unchecked(db);
        Transaction transaction(db);
        upgrade_rows(db);
        transaction.commit();
    } catch (const DbError& e) {
        if (is_damage(e)) throw;
        return Error(Errc::io, std::string("store: its copy could not be upgraded: ") + e.what(),
                     "make room there, or set TMPDIR to another directory");
    }
    return {};
}

}  // namespace xlstore
