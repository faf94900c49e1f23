// SPDX-License-Identifier: MIT
// A database file that becomes the store's at one stroke: made under another name, without a log,
// so that one rename is all there is between no store and a whole one.
#ifndef XLSTORE_STORE_DATABASE_NEW_DATABASE_HPP_
#define XLSTORE_STORE_DATABASE_NEW_DATABASE_HPP_

#include <functional>
#include <optional>
#include <string>

#include "schema/steps.hpp"
#include "store/database/db.hpp"

namespace xlstore {

/// Makes the file `path`, with the tables of a store and what `fill` puts into them in one
/// transaction; what was left there is overwritten. On the disk when it returns.
/// It is the store of the directory that it is made in (store/database/displaced.hpp).
/// `version`: of the schema that `fill` finds; the steps that follow are taken after it.
/// @throws DbError, and what `fill` throws
void make_database(const std::string& path, const std::function<void(Db&)>& fill,
                   std::int64_t version = schema::newest_version());

/// Gives `made` the name `database`, which nothing may have. REQUIRES the writer lock.
/// @throws IoError, DbError
void install_database(const std::string& made, const std::string& database);

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_NEW_DATABASE_HPP_
