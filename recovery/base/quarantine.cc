// SPDX-License-Identifier: MIT
#include "recovery/base/quarantine.hpp"

#include "store/base/clock.hpp"


namespace xlstore::recovery {

void quarantine(Db& db, std::optional<DomainId> domain, std::string_view what, std::string_view why,
                std::string_view text)
{
    db.prepare("INSERT INTO set_aside (at_us, domain, what, why, text) VALUES (?, ?, ?, ?, ?)")
        .bind(now_us())
        .bind(domain ? std::optional(value_of(*domain)) : std::nullopt)
        .bind(what)
        .bind(why)
        .bind(text)
        .run();
}

}  // namespace xlstore::recovery
