// SPDX-License-Identifier: MIT
// The numbers of a store (store/model/numbers.hpp) as its database has them: read, counted, and
// raised above what its directory remembers (R17).
#ifndef XLSTORE_STORE_DATABASE_STORE_NUMBERS_HPP_
#define XLSTORE_STORE_DATABASE_STORE_NUMBERS_HPP_

#include "store/database/db.hpp"
#include "store/model/numbers.hpp"

namespace xlstore {

/// Does the schema of `db` count commits? @throws DbError
[[nodiscard]] bool counts_commits(Db& db);
/// An id above kHighestId is no number that was given: that table's is the highest of its rows
/// then. REQUIRES counts_commits(). @throws DbError  also where no store has so many commits
[[nodiscard]] Numbers read_numbers(Db& db);
/// Counts the commit that is about to be made; the numbers after it. REQUIRES counts_commits() and
/// an open write transaction. @throws DbError  a number is above kHighestId: nothing may be
/// committed
Numbers count_commit(Db& db);
/// R17: ids go on above `seen` and above the rows where sqlite_sequence is too high, the commit
/// count too; epochs and revisions of every domain go up by as much as the commits that are missing
/// could have advanced them. `unknown`, and where `seen` is of another place: by more than what can
/// have been lost. REQUIRES as count_commit(). @throws DbError
enum class Loss { counted, unknown };
void raise_numbers(Db& db, const Memory& seen, Loss loss);

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_STORE_NUMBERS_HPP_
