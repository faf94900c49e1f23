// SPDX-License-Identifier: MIT
// Calls that are made to fail: SQLite's to its files, SQLite's memory, and C++'s memory. A program
// that is linked with this has an operator new of its own.
#ifndef XLSTORE_TESTS_CRASH_TRAP_HPP_
#define XLSTORE_TESTS_CRASH_TRAP_HPP_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "tests/support/sqlite_calls.hpp"

namespace xlstore::test {

/// A kind of call that can fail.
struct Kind {
    std::string name;
    bool may_die = false;                        ///< the process, of it
    std::function<void(std::size_t number)> arm;  ///< in the child: this call fails
};

[[nodiscard]] std::vector<Kind> kinds();
/// REQUIRES that SQLite was not used yet. @throws std::runtime_error
void watch_sqlite_memory();
/// From now on all goes well; what has failed has failed.
void let_all_succeed();
/// Did what was to fail fail?
[[nodiscard]] bool has_failed();

/// SQLite's calls to its files as kinds() arms them, while it is watched (sqlite_calls.hpp).
class FailingIo : public SqliteObserver {
public:
    bool may(SqliteCall call, const std::string& name) override;
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_CRASH_TRAP_HPP_
