// SPDX-License-Identifier: MIT
#include "recovery/recover.hpp"

#include "recovery/passes.hpp"

namespace xlstore::recovery {

Task<Result<Report>> recover(Store& store, Options options)
{
    Check check(std::move(options));
    check.progress(0, 0, 1);
    const bool readable = co_await pass0_database(check, store);
    if (readable) {
        for (const int pass : {3, 4}) {
            auto domains = living_domains(store.db());
            int done = 0;
            const int of = static_cast<int>(domains.size());
            for (auto& domain : domains) {
                check.progress(pass, done++, of);
                if (check.options().only && *check.options().only != domain.id) continue;
                if (pass == 3)
                    co_await pass3_lifecycle(check, store, std::move(domain));
                else
                    co_await pass4_intents(check, store, std::move(domain));
            }
        }
        // Last, since a dead session's row stays for as long as an open intent names it.
        if (!check.options().only) co_await pass2_sessions(check, store);
    }
    Report report{check.exit_bits(), check.found(), check.corrected()};
    co_return report;
}

}  // namespace xlstore::recovery
