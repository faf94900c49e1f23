// SPDX-License-Identifier: MIT
// SQL that reads, for those who inspect a store: though the connection could do more, nothing else
// is let through, and none lasts for ever, since an endless reader makes the log grow.
#ifndef XLSTORE_STORE_DATABASE_QUERY_HPP_
#define XLSTORE_STORE_DATABASE_QUERY_HPP_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "store/base/error.hpp"
#include "store/database/db.hpp"
#include "store/event/loop.hpp"

namespace xlstore {

struct QueryCell {
    std::optional<std::string> text;  ///< nothing: NULL
    bool number = false;
};
/// False ends the query.
using QueryRow =
    std::function<bool(const std::vector<std::string>& names, const std::vector<QueryCell>& cells)>;

/// Runs every statement of `sql`, with `parameters` bound to ?1, ?2, … of each. All of it sees one
/// moment. Errors: invalid (not SQL, something that does not only read), timeout, refused (more
/// memory or longer values than a query may have, see store/base/limits.hpp). Throws DbError where
/// the database cannot be read.
Result<void> run_query(Db& db, const std::string& sql,
                       const std::vector<std::optional<std::string>>& parameters, Deadline until,
                       const QueryRow& row);

/// A value as JSON, numbers as numbers; null for infinity, which JSON has no number for.
[[nodiscard]] std::string cell_json(const QueryCell& cell);
/// A row as a JSON object.
[[nodiscard]] std::string row_json(const std::vector<std::string>& names,
                                   const std::vector<QueryCell>& cells);

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_QUERY_HPP_
