// SPDX-License-Identifier: MIT
// The fleet's database: a connection, and what went wrong with it in words.
// libpqxx stands in the sources that talk to it alone.
#ifndef XLSTORE_TOOLS_FLEET_DATABASE_HPP_
#define XLSTORE_TOOLS_FLEET_DATABASE_HPP_

#include <functional>
#include <memory>
#include <pqxx/pqxx>
#include <string>

#include "store/base/error.hpp"

namespace xlstore::fleet {

/// Connects as libpq does: `conninfo`, and $PGHOST … for what it does not name.
/// A statement that waits longer than a minute for its answer is given up, and
/// so is a server that is silent. Errors: io (no connection), refused (the
/// server turned this role away).
Result<std::unique_ptr<pqxx::connection>> connect(const std::string& conninfo);

/// What any of libpqxx's exceptions means. REQUIRES a catch block. `doing`:
/// "push". io: the connection is gone, or the server has no room or no time: it
/// may be tried again. refused: the server said no; invalid: the statement.
[[nodiscard]] Error database_error(const std::string& doing);

/// Runs `work` in one transaction and commits it; an Error that it returns
/// rolls back.
Result<void> in_transaction(pqxx::connection& database, const std::string& doing,
                            const std::function<Result<void>(pqxx::work&)>& work);

/// The version of the fleet's schema in that database; 0: there is none.
std::int64_t schema_version(pqxx::transaction_base& transaction);
/// Errors: invalid: a database of no fleet, of an older schema (init), of a
/// newer one (upgrade).
Result<void> check_schema(pqxx::connection& database);

/// connect() and check_schema().
Result<std::unique_ptr<pqxx::connection>> open_fleet(const std::string& conninfo);

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_DATABASE_HPP_
