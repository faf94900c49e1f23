// SPDX-License-Identifier: MIT
// sqlite_sequence, where SQLite keeps the highest number that each table has given, is a table like any
// other, and no trigger can guard it: a hand can set it back, and numbers would be given again (R17).
// The rows tell of numbers that were given, and the directory remembers them.
#ifndef XLSTORE_STORE_LOW_NUMBERS_HPP_
#define XLSTORE_STORE_LOW_NUMBERS_HPP_

#include <cstdint>
#include <string>
#include <vector>

#include "store/db.hpp"
#include "store/numbers.hpp"

namespace xlstore {

struct LowNumber {
    std::string table;
    std::int64_t has = 0;    ///< by sqlite_sequence
    std::int64_t given = 0;  ///< at least
};

/// Tables whose next number was given before. `seen`: what the directory remembers, read before the
/// database. @throws DbError
[[nodiscard]] std::vector<LowNumber> low_numbers(Db& db, const Memory& seen);

/// They go on above what was given. REQUIRES an open write transaction. @throws DbError
void raise_low_numbers(Db& db, const Memory& seen);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LOW_NUMBERS_HPP_
