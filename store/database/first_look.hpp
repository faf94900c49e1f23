// SPDX-License-Identifier: MIT
// What is looked at before SQLite opens a database, since opening it would destroy what is left.
#ifndef XLSTORE_STORE_DATABASE_FIRST_LOOK_HPP_
#define XLSTORE_STORE_DATABASE_FIRST_LOOK_HPP_

#include <string>

#include "store/base/error.hpp"

namespace xlstore {

/// SQLite deletes the log of an empty database as it opens it, also to read; a log without a
/// database would be taken for that of the next one. Looks by stat() alone. Error store: the
/// database is empty, or missing beside a log. @throws IoError: it could not look
Result<void> check_before_opening(const std::string& directory);

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_FIRST_LOOK_HPP_
