// SPDX-License-Identifier: MIT
#include "recovery/base/quarantine.hpp"

#include "store/base/clock.hpp"
#include "store/text/json_text.hpp"

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

bool is_named_in_quarantine(Db& db, std::string_view name)
{
    const std::string quoted = json_quote(name);
    const std::string in_column = json_quote(quoted);  // of a row whose text is in an object
    auto found = db.prepare("SELECT 1 FROM set_aside WHERE instr(text, ?1) OR instr(text, ?2)");
    found.bind(quoted).bind(std::string_view(in_column).substr(1, in_column.size() - 2));
    return found.step();
}

}  // namespace xlstore::recovery
