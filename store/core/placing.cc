// SPDX-License-Identifier: MIT
#include "store/core/placing.hpp"

#include "store/core/domain.hpp"
#include "store/model/device_class.hpp"

namespace xlstore {

void place_things(Db& db, DomainId domain)
{
    const auto traits = read_traits(db, domain);
    for (const auto& entry : read_things(db, domain)) {
        const auto* of = find_device_class(entry.name.device_class);
        if (of == nullptr) continue;
        const auto primary = primary_name(thing_primary(*of, entry.json, traits));
        if (primary == entry.primary) continue;
        db.prepare(
              "UPDATE thing SET primary_at = ?1 WHERE id = ?2 AND NOT EXISTS (SELECT 1 FROM intent "
              "WHERE thing = ?2)")
            .bind(primary)
            .bind(entry.id)
            .run();
    }
}

}  // namespace xlstore
