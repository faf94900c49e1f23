// SPDX-License-Identifier: MIT
// init: each step that the database has not had, in one transaction, and the
// roles. It may be run again.
#include <cstdio>

#include "tools/fleet/database.hpp"
#include "tools/fleet/schema/steps.hpp"
#include "tools/fleet/verbs.hpp"

namespace xlstore::fleet {

namespace {

constexpr const char* kHostGroup = "xlstore_fleet_host";
constexpr const char* kReaderGroup = "xlstore_fleet_reader";

void make_role(pqxx::work& work, const std::string& role, const char* attributes)
{
    if (work.exec_params1("SELECT count(*) FROM pg_roles WHERE rolname = $1", role)[0].as<int>() ==
        0)
        work.exec0("CREATE ROLE " + work.quote_name(role) + " " + attributes);
}

void let_in(pqxx::work& work, const char* group, const std::string& role)
{
    make_role(work, role, "LOGIN");
    const auto is_member = work.exec_params1(
        "SELECT pg_has_role($1::name, $2::name, 'member') AND NOT (SELECT rolsuper FROM pg_roles "
        "WHERE rolname = $1::name)",
        role, group);
    if (!is_member[0].as<bool>())
        work.exec0(std::string("GRANT ") + group + " TO " + work.quote_name(role));
}

Result<void> apply_steps(pqxx::work& work)
{
    const auto version = schema_version(work);
    const auto steps = schema::steps();
    if (version > schema::newest_version())
        return Error(Errc::invalid,
                     "the fleet has version " + std::to_string(version) +
                         " of the schema, and this program knows " +
                         std::to_string(schema::newest_version()),
                     "nothing was changed; install the newer xlstore-fleet");
    for (auto step = static_cast<std::size_t>(version); step < steps.size(); ++step) {
        work.exec(std::string(steps[step].sql));
        work.exec_params0("INSERT INTO fleet.step (step, name) VALUES ($1, $2)", step + 1,
                          std::string(steps[step].name));
    }
    return {};
}

Result<void> add_host(pqxx::work& work, const std::string& word)
{
    const auto equals = word.find('=');
    const auto name = word.substr(0, equals);
    const auto role = equals == std::string::npos ? name : word.substr(equals + 1);
    if (name.empty() || role.empty())
        return Error(Errc::invalid, "--host " + word + ": a name or a role is missing",
                     "--host NAME, or --host NAME=ROLE");
    const auto is_there = work.exec_params("SELECT role FROM fleet.host WHERE name = $1", name);
    if (!is_there.empty() && is_there[0][0].as<std::string>() != role)
        return Error(Errc::exists,
                     "host " + name + " has the role " + is_there[0][0].as<std::string>(),
                     "nothing was changed; UPDATE fleet.host gives it another");
    let_in(work, kHostGroup, role);
    work.exec_params0(
        "INSERT INTO fleet.host (name, role) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        name, role);
    const auto made = work.exec_params0(
        "INSERT INTO fleet.presence (host) SELECT host FROM fleet.host WHERE name = $1 AND role = "
        "$2 ON CONFLICT DO NOTHING",
        name, role);
    static_cast<void>(made);
    if (work.exec_params("SELECT 1 FROM fleet.host WHERE name = $1 AND role = $2", name, role)
            .empty())
        return Error(Errc::exists, "the role " + role + " speaks for another host",
                     "nothing was changed; each host has a role of its own");
    return {};
}

// PostgreSQL would compile for seconds, by itself, what answers in milliseconds.
void add_reader(pqxx::work& work, const std::string& role)
{
    let_in(work, kReaderGroup, role);
    work.exec0("ALTER ROLE " + work.quote_name(role) + " IN DATABASE " +
               work.quote_name(work.conn().dbname()) + " SET jit = off");
}

}  // namespace

Result<Status> run_init(const Arguments& arguments)
{
    auto database = connect(arguments.database);
    if (!database) return database.error();
    std::int64_t before = 0;
    auto done = in_transaction(**database, "init", [&](pqxx::work& work) -> Result<void> {
        work.exec("SELECT pg_advisory_xact_lock(hashtext('xlstore-fleet: init'))");
        before = schema_version(work);
        make_role(work, kHostGroup, "NOLOGIN");
        make_role(work, kReaderGroup, "NOLOGIN");
        if (auto applied = apply_steps(work); !applied) return applied;
        for (const auto& host : arguments.hosts)
            if (auto added = add_host(work, host); !added) return added;
        for (const auto& reader : arguments.readers)
            add_reader(work, reader);
        work.exec("SELECT fleet.open_months()");
        return {};
    });
    if (!done) return done.error();
    const auto now = schema::newest_version();
    if (arguments.json)
        std::printf("{\"before\":%lld,\"schema\":%lld}\n", static_cast<long long>(before),
                    static_cast<long long>(now));
    else if (before == now)
        std::printf("the fleet's schema has version %lld already\n", static_cast<long long>(now));
    else
        std::printf("the fleet's schema has version %lld now\n", static_cast<long long>(now));
    return Status::done;
}

}  // namespace xlstore::fleet
