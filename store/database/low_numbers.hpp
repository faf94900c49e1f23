// SPDX-License-Identifier: MIT
// sqlite_sequence, where SQLite keeps the highest number that each table has given, is a table like
// any other, and no trigger can guard it: a hand can set it back, and numbers would be given again
// (R17); or far up, and none is left to give. The rows tell of numbers that were given, and the
// directory remembers them. A commit that finds either is refused, and xlfsck puts it right.
#ifndef XLSTORE_STORE_DATABASE_LOW_NUMBERS_HPP_
#define XLSTORE_STORE_DATABASE_LOW_NUMBERS_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"
#include "store/database/db.hpp"
#include "store/model/numbers.hpp"

namespace xlstore {

struct WrongNumber {
    std::string table;
    std::int64_t has = 0;    ///< by sqlite_sequence
    std::int64_t given = 0;  ///< at least
    std::int64_t row = 0;    ///< the highest of rows above all that were given; 0: there is none
};

/// Tables whose next number was given before. `seen`: what the directory remembers, read before the
/// database. @throws DbError
[[nodiscard]] std::vector<WrongNumber> low_numbers(Db& db, const Memory& seen);
/// Tables whose next number is above Numbers::kHighestId, or further above all that were given than
/// Numbers::kMostAtOnce. A row that is so far above what the directory remembers tells of no number
/// that was given. As above.
[[nodiscard]] std::vector<WrongNumber> high_numbers(Db& db, const Memory& seen);
/// What the rows of `table` and those that name them tell of; 0: nothing. @throws DbError
[[nodiscard]] std::int64_t highest_of_rows(Db& db, std::string_view table);
/// @throws DbError  a number is above Numbers::kHighestId: 'xlfsck -p' lowers it
void refuse_high_numbers(Db& db);
/// What is wrong with the numbers of the database beside those that the directory remembers: a
/// table was set back, or far up. Nothing: neither. A memory that is another place's tells nothing.
[[nodiscard]] std::optional<Error> wrong_numbers(const Numbers& now, const Memory& seen);

/// They go on above what was given. Rows above that get a number or are quarantined (HighRows),
/// since SQLite would go on above these. REQUIRES an open write transaction. @throws DbError
void lower_high_numbers(Db& db, const Memory& seen);
/// The low ones too, for the tables of `agreed` alone, as far as they are still wrong.
void put_numbers_right(Db& db, const Memory& seen, const std::vector<WrongNumber>& agreed);

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_LOW_NUMBERS_HPP_
