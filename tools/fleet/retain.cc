// SPDX-License-Identifier: MIT
// retain: whole months of history go, a partition each, and with them states of
// domains that are over.
#include <cstdio>

#include "store/text/json_text.hpp"
#include "tools/fleet/database.hpp"
#include "tools/fleet/verbs.hpp"

namespace xlstore::fleet {

namespace {

// The name has the month: history_YYYYMM.
constexpr const char* kOldMonths =
    "SELECT c.relname, to_char(to_date(right(c.relname, 6), 'YYYYMM'), 'YYYY-MM') FROM pg_inherits "
    "i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'fleet.history'::regclass AND "
    "c.relname ~ '^history_[0-9]{6}$' AND to_date(right(c.relname, 6), 'YYYYMM') < "
    "date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => $1) ORDER BY 1";

constexpr const char* kOldDomains =
    "WITH old AS (SELECT d.host, d.generation, d.incarnation FROM fleet.domain d JOIN "
    "fleet.presence p ON p.host = d.host WHERE (d.state IN ('destroyed', 'gone') OR d.generation < "
    "p.generation) AND d.received < date_trunc('month', now() AT TIME ZONE 'UTC') - "
    "make_interval(months => $1))";

}  // namespace

Result<Status> run_retain(const Arguments& arguments)
{
    auto database = open_fleet(arguments.database);
    if (!database) return database.error();
    std::string months;
    std::int64_t domains = 0;
    auto done = in_transaction(**database, "retain", [&](pqxx::work& work) -> Result<void> {
        for (const auto& row : work.exec_params(kOldMonths, arguments.months)) {
            if (!arguments.dry_run)
                work.exec0("DROP TABLE fleet." + work.quote_name(row[0].as<std::string>()));
            months += (months.empty() ? "" : ",") + json_quote(row[1].as<std::string>());
        }
        const std::string end = arguments.dry_run ? " SELECT count(*) FROM old"
                                                  : ", dropped AS (DELETE FROM fleet.domain d "
                                                    "USING old WHERE (d.host, d.generation, "
                                                    "d.incarnation) = (old.host, old.generation, "
                                                    "old.incarnation) RETURNING 1) SELECT count(*) "
                                                    "FROM dropped";
        domains = work.exec_params1(kOldDomains + end, arguments.months)[0].as<std::int64_t>();
        return {};
    });
    if (!done) return done.error();
    if (arguments.json)
        std::printf("{\"months\":[%s],\"domains\":%lld}\n", months.c_str(),
                    static_cast<long long>(domains));
    else
        std::printf("%s: months of history: %s; domains that are over: %lld\n",
                    arguments.dry_run ? "would go" : "gone",
                    months.empty() ? "none" : months.c_str(), static_cast<long long>(domains));
    return Status::done;
}

}  // namespace xlstore::fleet
