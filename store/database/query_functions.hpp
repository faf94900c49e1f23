// SPDX-License-Identifier: MIT
// Functions of SQL that a query can keep at work for ever, in place of SQLite's own: those look at
// no clock while they run, and need time that grows with the square of their arguments, or
// exponentially (LIKE with many '%'). These need time in proportion, or look at the deadline.
#ifndef XLSTORE_STORE_DATABASE_QUERY_FUNCTIONS_HPP_
#define XLSTORE_STORE_DATABASE_QUERY_FUNCTIONS_HPP_

#include <string_view>

#include "store/event/loop.hpp"

struct sqlite3;

namespace xlstore {

/// Puts like, glob, instr, replace, trim, ltrim and rtrim into a connection, to its end. They
/// answer as SQLite's do. False: not now, because a statement of it is between two rows.
/// @throws DbError
bool use_bounded_functions(sqlite3* db);

/// For its scope they end at `until`, in this thread, as a query that was interrupted.
class FunctionsEnd {
public:
    explicit FunctionsEnd(const Deadline& until) noexcept;
    FunctionsEnd(const FunctionsEnd&) = delete;
    FunctionsEnd& operator=(const FunctionsEnd&) = delete;
    ~FunctionsEnd();

private:
    const Deadline* outer_;  // of the query whose row callback makes this one
};

/// Functions that are refused: they have the fault, and no other in their place.
[[nodiscard]] bool is_unbounded_function(std::string_view name) noexcept;

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_QUERY_FUNCTIONS_HPP_
