// SPDX-License-Identifier: MIT
#include "tools/fleet/database.hpp"

#include <algorithm>

#include "tools/fleet/schema/steps.hpp"

namespace xlstore::fleet {

namespace {

// The oldest server that has what the schema uses (views that see with the
// caller's rights).
constexpr int kOldestServer = 150000;

std::string one_line(std::string text)
{
    while (!text.empty() && (text.back() == '\n' || text.back() == '.' || text.back() == ' '))
        text.pop_back();
    for (auto at = text.find('\n'); at != std::string::npos; at = text.find('\n'))
        text.replace(at, 1, ": ");
    return text;
}

// Another try may go through: connection (08), resources such as a full disk
// (53), a server that stops or starts (57), a rollback in favour of another
// (40).
bool passes(const std::string& sqlstate)
{
    const auto kind = sqlstate.substr(0, 2);
    return kind == "08" || kind == "53" || kind == "57" || kind == "40";
}

Error of_sql(const std::string& doing, const pqxx::sql_error& e)
{
    const std::string state = e.sqlstate();
    std::string message = doing + ": PostgreSQL: " + one_line(e.what());
    if (passes(state))
        return {Errc::io, std::move(message),
                "nothing of this batch was taken; it may be tried again"};
    if (state == "42501")
        return {Errc::refused, std::move(message),
                "'xlstore-fleet init --host NAME' gives a host its role, '--reader ROLE' a reader"};
    return {Errc::invalid, std::move(message), ""};
}

}  // namespace

Error database_error(const std::string& doing)
{
    try {
        throw;
    } catch (const pqxx::sql_error& e) {
        return of_sql(doing, e);
    } catch (const pqxx::broken_connection& e) {
        return {Errc::io, doing + ": no connection to PostgreSQL: " + one_line(e.what()),
                "nothing of this batch was taken, or all of it: the next push goes on from there"};
    } catch (const pqxx::in_doubt_error& e) {
        return {Errc::io,
                doing + ": the connection was lost during a commit: " + one_line(e.what()),
                "nothing of this batch was taken, or all of it: the next push goes on from there"};
    } catch (const pqxx::failure& e) {
        return {Errc::io, doing + ": PostgreSQL: " + one_line(e.what()), "it may be tried again"};
    } catch (...) {
        return caught(doing);
    }
}

Result<std::unique_ptr<pqxx::connection>> connect(const std::string& conninfo)
{
    try {
        // What stands first yields to what comes after it.
        auto database = std::make_unique<pqxx::connection>(
            conninfo.find("://") != std::string::npos
                ? conninfo
                : "application_name=xlstore-fleet connect_timeout=10 keepalives_idle=20 "
                  "keepalives_interval=5 keepalives_count=3 tcp_user_timeout=40000 " +
                      conninfo);
        if (database->server_version() < kOldestServer)
            return Error(Errc::invalid,
                         "the server is PostgreSQL " +
                             std::to_string(database->server_version() / 10000) +
                             ", and a fleet needs 15 or later",
                         "nothing was changed; name another server with --database");
        pqxx::nontransaction settings(*database);
        settings.exec0(
            "SET statement_timeout = '60s'; SET lock_timeout = '30s'; SET "
            "idle_in_transaction_session_timeout = '120s'; SET TIME ZONE 'UTC'; SET "
            "client_encoding = 'UTF8'; SET client_min_messages = warning; SET jit = off");
        return database;
    } catch (...) {
        auto error = database_error("connect");
        error.advice =
            "is the server there, and does pg_hba.conf let this role in? --database takes what "
            "libpq does: 'host=db dbname=fleet sslmode=verify-full'";
        return error;
    }
}

Result<void> in_transaction(pqxx::connection& database, const std::string& doing,
                            const std::function<Result<void>(pqxx::work&)>& work)
{
    try {
        pqxx::work transaction(database);
        auto done = work(transaction);
        if (!done) return done;
        transaction.commit();
        return {};
    } catch (...) {
        return database_error(doing);
    }
}

std::int64_t schema_version(pqxx::transaction_base& transaction)
{
    if (transaction.exec1("SELECT to_regclass('fleet.step')")[0].is_null()) return 0;
    return transaction.exec1("SELECT coalesce(max(step), 0) FROM fleet.step")[0].as<std::int64_t>();
}

Result<void> check_schema(pqxx::connection& database)
{
    return in_transaction(database, "look at the schema", [&](pqxx::work& work) -> Result<void> {
        const auto version = schema_version(work);
        const auto known = schema::newest_version();
        if (version == known) return {};
        const std::string name = database.dbname() ? database.dbname() : "";
        if (version == 0)
            return Error(Errc::invalid, "database " + name + " has no fleet in it",
                         "'xlstore-fleet init' makes one, as the owner of the database");
        if (version < known)
            return Error(Errc::invalid,
                         "the fleet in database " + name + " has version " +
                             std::to_string(version) + " of the schema, this program version " +
                             std::to_string(known),
                         "'xlstore-fleet init' brings it up, as the owner of the database");
        return Error(Errc::invalid,
                     "the fleet in database " + name + " has version " + std::to_string(version) +
                         " of the schema, and this program knows " + std::to_string(known),
                     "nothing was sent; install the newer xlstore-fleet here: the host's history "
                     "keeps what is to be sent");
    });
}

Result<std::unique_ptr<pqxx::connection>> open_fleet(const std::string& conninfo)
{
    auto database = connect(conninfo);
    if (!database) return database;
    if (auto fits = check_schema(**database); !fits) return fits.error();
    return database;
}

}  // namespace xlstore::fleet
