// SPDX-License-Identifier: MIT
// Rows whose number is above all that were given. AUTOINCREMENT goes on above the highest row of a
// table, so that the table gives no lower number while such a row is in it (low_numbers.hpp).
#ifndef XLSTORE_STORE_DATABASE_HIGH_ROWS_HPP_
#define XLSTORE_STORE_DATABASE_HIGH_ROWS_HPP_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "store/database/db.hpp"

namespace xlstore {

/// What belongs to a document, or is named by what does, gets the next number; where it is the only
/// one of its table, and other rows name one number that no row has, it gets that one. All else is
/// taken out and quarantined (R22): all is taken before the first is put there, because table
/// set_aside may have such rows, too. Until it ends no trigger of the schema runs, since some keep
/// rows as they are. REQUIRES an open write transaction over all of it.
class HighRows {
public:
    explicit HighRows(Db& db);
    HighRows(const HighRows&) = delete;
    HighRows& operator=(const HighRows&) = delete;
    ~HighRows();

    /// Those of `table` above `given`; of what is taken out, rows that SQLite would delete with it,
    /// too. The highest number that the table has given then. @throws DbError
    std::int64_t lower(const std::string& table, std::int64_t given);
    /// As JSON, an object by column. REQUIRES that set_aside has a number left to give.
    /// @throws DbError
    void quarantine();

private:
    using Column = std::pair<std::string, std::string>;  // of a table
    std::vector<Column> naming(const std::string& table, bool all);
    void take_missing(const std::string& table, std::int64_t given);
    void renumber(const std::string& table);
    void take_where(const std::string& table, const std::string& which);

    Db& db_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_HIGH_ROWS_HPP_
