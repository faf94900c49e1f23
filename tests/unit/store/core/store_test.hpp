// SPDX-License-Identifier: MIT
// Ways to a store, for the tests of it.
#ifndef XLSTORE_TESTS_UNIT_STORE_CORE_STORE_TEST_HPP_
#define XLSTORE_TESTS_UNIT_STORE_CORE_STORE_TEST_HPP_

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <memory>
#include <string>

#include "store/core/store.hpp"
#include "store/database/write_permit.hpp"

namespace xlstore::test {

inline Result<std::unique_ptr<Store>> open_store(const std::string& directory)
{
    StoreOptions options;
    options.directory = directory;
    options.program = "test";
    return Store::open(options);
}

inline Result<std::unique_ptr<Store>> open_to_look(const std::string& directory)
{
    StoreOptions options;
    options.directory = directory;
    return Store::open_read_only(options);
}

/// Runs SQL in a database file without our library.
inline void raw_sql(const std::string& path, const std::string& sql)
{
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
    ASSERT_EQ(permit_writes(db), SQLITE_OK);
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &message), SQLITE_OK) << message;
    sqlite3_free(message);
    sqlite3_close(db);
}

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_UNIT_STORE_CORE_STORE_TEST_HPP_
