// SPDX-License-Identifier: MIT
// The raw tables of a store, over a connection of its own.
#ifndef XLSTORE_TESTS_SUPPORT_ROWS_HPP_
#define XLSTORE_TESTS_SUPPORT_ROWS_HPP_

#include <string>
#include <vector>

#include "tests/support/process.hpp"

struct sqlite3;

namespace xlstore::test {

/// A connection that only reads; ":memory:" is one for what SQLite knows of JSON. Its errors throw.
class RawStore {
public:
    explicit RawStore(const std::string& path);
    RawStore(const RawStore&) = delete;
    RawStore& operator=(const RawStore&) = delete;
    ~RawStore();
    /// "" for NULL.
    std::vector<Words> rows(const std::string& query, const Words& parameters = {});

private:
    [[noreturn]] void fail(const std::string& what) const;
    sqlite3* db_ = nullptr;
};
/// "" where there is no row.
[[nodiscard]] std::string first_cell(const std::vector<Words>& rows);

/// One value of one row of the raw tables, over a connection of its own; "" for NULL or no row.
[[nodiscard]] std::string sql(const std::string& store, const std::string& query);
/// All rows of all tables in which an operation leaves something (not sessions), as one text.
[[nodiscard]] std::string dump(const std::string& store);
/// What is at `path` ("$.error.code") in a JSON text.
[[nodiscard]] std::string json_at(const std::string& text, const std::string& path);

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_ROWS_HPP_
